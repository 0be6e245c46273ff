import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { jobPool } from '../../dist/pool/pool.js';
import { encodeNodeState, encodePushPullHeader } from '../../src/wire/messages.ts';
import { nextEvent, startNode } from '../helpers/clusters.ts';
import { text } from '../helpers/pair.ts';

const NODES = 4000;
const last = `m${NODES - 1}`;

/** A push/pull of many members that nobody runs, as bytes of a plain stream. */
function state(): Uint8Array {
  const out = new Uint8Array(64 + NODES * 128);
  let at = encodePushPullHeader(out, 0, { nodes: NODES, userStateLength: 0, join: false });
  for (let i = 0; i < NODES; i++) {
    const addr = Uint8Array.of(127, 77, i >> 8, i & 255);
    const vsn = Uint8Array.of(1, 5, 2, 0, 0, 0);
    at = encodeNodeState(out, at, { name: text(`m${i}`), addr, port: 9, meta: null, incarnation: 1, state: 0, vsn });
  }
  return out.slice(0, at);
}

/** Exchanges state with a node as a stranger would: waits until it has answered. */
async function tell(address: string, bytes: Uint8Array): Promise<void> {
  const [host, port] = address.split(':') as [string, string];
  const socket = connect({ host, port: Number(port), allowHalfOpen: true });
  socket.end(bytes);
  socket.resume();
  await once(socket, 'end');
}

// Inline, because only then the pool is that of this thread and its counts can be read; nothing is probed, for nobody would answer.
const options = { thread: 'inline', tuning: { probeIntervalMs: 0 } } as const;

it.each(['js', 'auto'] as const)(
  'a large state is compressed and opened by the pool on its way between two nodes (%s)',
  async (backend) => {
    const before = { ...jobPool.stats };
    const a = await startNode('a', { ...options, backend });
    const learned = nextEvent(a, 'join', ({ name }) => name === last);
    await tell(a.self.address, state());
    await learned;

    const b = await startNode('b', { ...options, backend });
    const names: string[] = [];
    b.on('join', ({ name }) => names.push(name));
    const arrived = nextEvent(b, 'join', ({ name }) => name === last);
    expect(await b.join([a.self.address])).toBe(1);
    await arrived;
    expect(new Set(names).size).toBe(names.length);
    expect(b.members().length).toBe(NODES + 2);
    expect(jobPool.stats.done - before.done).toBeGreaterThanOrEqual(2);
    expect(jobPool.stats.inline).toBe(before.inline);
  },
);
