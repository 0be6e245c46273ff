// Every fuzz target of the kernels for a second, after a replay of what was once found (native/test/regressions). The long run
// is `make fuzz-native`.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { KERNEL_ID } from '../../src/kernels/layout.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const sources = `${root}native/test`;
const targets = readdirSync(sources).flatMap((file) => /^fuzz_(.*)\.cpp$/.exec(file)?.[1] ?? []);
const hasCompiler = ['clang++', process.env['CXX'] ?? 'g++'].some(
  (name) => spawnSync(name, ['--version']).status === 0,
);

function fuzz(names: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const args = ['--engine', 'quick', '--seconds', '1', '--only', names.join(',')];
    const child = spawn(process.execPath, [`${root}scripts/fuzz-native.mjs`, ...args]);
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('close', () => resolve(output));
  });
}

describe.runIf(hasCompiler)('fuzz targets of the kernels', () => {
  let outputs: readonly string[] = [];

  // Some 2 s per target; the first time, and when a source changed, 5 more for the compiler. More than two at a time would only
  // wait for each other.
  beforeAll(async () => {
    const half = Math.ceil(targets.length / 2);
    outputs = await Promise.all([fuzz(targets.slice(0, half)), fuzz(targets.slice(half))]);
  }, 180_000);

  test.each(targets)('%s: nothing that was found once is found again, nor anything new', (name) => {
    const folder = `${sources}/regressions/${name}`;
    const known = existsSync(folder) ? readdirSync(folder).length : 0;
    const line = new RegExp(`^${name} +[\\d,]+ executions, ${known} regressions, nothing found$`, 'm');
    expect(outputs.join('\n')).toMatch(line);
  });

  test('every kernel has a target, and so have the parts that read what others wrote', () => {
    const kernels = Object.keys(KERNEL_ID).map((name) =>
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    );
    expect(targets).toEqual(expect.arrayContaining([...kernels, 'lzw', 'hash64']));
  });
});
