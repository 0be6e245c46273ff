import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { hasNativeClass, loadNative } from '../../src/kernels/native.ts';

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
  'exit while threads are inside',
  'worker ended by itself',
  'worker exits inside',
  'worker terminated, its memory goes on',
];

/** Where a socket's life may end while datagrams, or refusals of ours, wait in it. */
const socketStages = [
  'open, nothing read',
  'inside the callback',
  'closed inside the callback',
  'collected unread',
  'with refusals waiting',
  'refused, collected',
  'worker terminated while it receives',
  'worker terminated, nothing read',
  'process exits while workers receive',
];
const clean = { code: 0, signal: null, out: '', err: '' };

describe.runIf(loadNative().addon)('the life of native handles', () => {
  test.each(stages)('a process ends cleanly at stage "%s"', (stage) => {
    expect(child('lifecycle.mjs', stage)).toEqual(clean);
  });

  test('worker threads load the addon many times and are terminated in the middle of calls', () => {
    expect(child('workers.mjs')).toEqual({ ...clean, out: '24' });
  }, 60_000);
});

describe.runIf(hasNativeClass('UdpSocket'))('the life of a native socket with datagrams pending', () => {
  test.each(socketStages)('a process ends cleanly at stage "%s"', (stage) => {
    expect(child('udp.mjs', stage)).toEqual(clean);
  });
});
