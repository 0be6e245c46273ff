import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadNative } from '../../src/kernels/native.ts';

/** What a child process said and how it ended. A crash shows as a signal, a leak check of the runtime on stderr. */
function child(
  file: string,
  ...args: string[]
): { code: number | null; signal: string | null; out: string; err: string } {
  const path = fileURLToPath(new URL(`children/${file}`, import.meta.url));
  const done = spawnSync(process.execPath, ['--expose-gc', path, ...args], { encoding: 'utf8', timeout: 60_000 });
  return { code: done.status, signal: done.signal, out: done.stdout.trim(), err: done.stderr.trim() };
}

const stages = [
  'loaded',
  'created',
  'held',
  'used',
  'rehomed',
  'construction failed',
  'collected',
  'collected but not finalized',
  'exit inside',
  'worker ended by itself',
];

describe.runIf(loadNative().addon)('the life of native handles', () => {
  test.each(stages)('a process ends cleanly at stage "%s"', (stage) => {
    expect(child('lifecycle.mjs', stage)).toEqual({ code: 0, signal: null, out: '', err: '' });
  });

  test('worker threads load the addon many times and are terminated in the middle of calls', () => {
    expect(child('workers.mjs')).toEqual({ code: 0, signal: null, out: '24', err: '' });
  }, 60_000);
});
