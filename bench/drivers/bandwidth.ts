/** How fast this machine reads memory, measured by a small C++ program in the same run as what is compared with it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

const BINARY = 'out/bench/bandwidth';

/** Path of the program; '' where there is no C++ compiler. */
export function buildBandwidth(): string {
  mkdirSync('out/bench', { recursive: true });
  const args = ['-std=c++20', '-O3', '-march=native', '-o', BINARY, 'bench/drivers/bandwidth.cpp'];
  return spawnSync(process.env['CXX'] ?? 'c++', args, { stdio: 'ignore' }).status === 0 ? BINARY : '';
}
