import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { nextEvent, startNode, untilMembers } from '../helpers/clusters.ts';

const BLOCK_MS = 5000;
const REPEATS = 8;

it('nobody suspects a node whose application blocks its loop for 5 s; they see it stalled, and see it recover', async () => {
  const watchers = [await startNode('w1'), await startNode('w2')] as const;
  await watchers[1].join([watchers[0].self.address]);
  const accusations: string[] = [];
  for (const watcher of watchers) {
    for (const event of ['suspect', 'dead', 'leave'] as const)
      watcher.on(event, (member) => accusations.push(`${event} ${member.name}`));
  }
  const program = fileURLToPath(new URL('../helpers/blocker.mjs', import.meta.url));
  const child = spawn(process.execPath, [program, watchers[0].self.address], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const lines = createInterface({ input: child.stdout });
    await once(lines, 'line');
    await Promise.all(watchers.map((watcher) => untilMembers(watcher, (members) => members.length === 3)));

    const stalls = watchers.map((watcher) => nextEvent(watcher, 'stall', (member) => member.name === 'busy'));
    const resumes = watchers.map((watcher) => nextEvent(watcher, 'resume', (member) => member.name === 'busy'));
    const unblocked = once(lines, 'line');
    child.stdin.write(`block ${BLOCK_MS}\n`);
    for (const member of await Promise.all(stalls)) expect(member).toMatchObject({ status: 'alive', stalled: true });
    // Its process still answers while its application does not run.
    expect(await watchers[0].ping('busy')).toBeGreaterThan(0);
    expect(watchers[0].member('busy')).toMatchObject({ status: 'alive', stalled: true });
    for (const member of await Promise.all(resumes)) expect(member).toMatchObject({ status: 'alive', stalled: false });
    await unblocked;
    expect(accusations).toEqual([]);
    expect(watchers[1].member('busy')?.status).toBe('alive');
  } finally {
    const exited = once(child, 'exit');
    child.stdin.end('exit\n');
    await exited;
  }
}, 30_000);

it('nobody suspects a node of the fast profile whose application blocks its loop for 1 s again and again', async () => {
  const watchers = [
    await startNode('w1', { profile: 'fast' }),
    await startNode('w2', { profile: 'fast' }),
    await startNode('w3', { profile: 'fast' }),
  ] as const;
  for (const watcher of watchers.slice(1)) await watcher.join([watchers[0].self.address]);
  const accusations: string[] = [];
  for (const watcher of watchers) {
    for (const event of ['suspect', 'dead', 'leave'] as const)
      watcher.on(event, (member) => accusations.push(`${event} ${member.name}`));
  }
  const program = fileURLToPath(new URL('../helpers/blocker.mjs', import.meta.url));
  const child = spawn(process.execPath, [program, watchers[0].self.address, 'fast'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  try {
    const lines = createInterface({ input: child.stdout });
    await once(lines, 'line');
    await Promise.all(watchers.map((watcher) => untilMembers(watcher, (members) => members.length === 4)));
    for (let times = 0; times < REPEATS; times++) {
      const unblocked = once(lines, 'line');
      child.stdin.write('block 1000\n');
      await unblocked;
    }
    expect(accusations).toEqual([]);
    expect(watchers.map((watcher) => watcher.member('busy')?.status)).toEqual(['alive', 'alive', 'alive']);
  } finally {
    const exited = once(child, 'exit');
    child.stdin.end('exit\n');
    await exited;
  }
}, 40_000);
