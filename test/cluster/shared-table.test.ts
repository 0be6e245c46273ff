import { afterEach, describe, expect, it } from 'vitest';
import { ClusterHost } from '../../src/cluster/host.ts';
import { resolveOptions } from '../../src/cluster/resolve-options.ts';
import { SharedTableReader } from '../../src/cluster/shared-table.ts';
import type { Transport, TransportHandlers } from '../../src/transport/transport.ts';
import { parseAddress } from '../../src/util/address.ts';
import { textOf } from '../../src/util/bytes.ts';
import { encodeAlive } from '../../src/wire/messages.ts';
import { text } from '../helpers/pair.ts';

const SELF = parseAddress('127.0.0.1:7946');
const META_BYTES = 500;
const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);

/** A transport that sends nothing; what arrives comes from the test. */
class Silence implements Transport {
  readonly stats = {
    packetsSent: 0,
    bytesSent: 0,
    packetsReceived: 0,
    bytesReceived: 0,
    packetsDropped: 0,
    streamsOpened: 0,
    streamsAccepted: 0,
    streamsRefused: 0,
  };
  handlers: TransportHandlers | undefined;
  async start(handlers: TransportHandlers) {
    this.handlers = handlers;
    return SELF;
  }
  send(): void {}
  flush(): void {}
  connect(): Promise<never> {
    return new Promise(() => {});
  }
  async close(): Promise<void> {}
}

let stop: () => Promise<void> = async () => {};
afterEach(() => stop());

/** A host whose members lie in shared memory. `join` makes it hear of members whose metadata say their names. */
async function sharedHost(backend: 'js' | 'auto') {
  const transport = new Silence();
  const tuning = { gossipIntervalMs: 0, probeIntervalMs: 0 };
  const { settings, hooks } = resolveOptions({ name: 'a', thread: 'inline', backend, rngSeed: 1, transport, tuning });
  const sink = { events: () => {}, log: () => {}, error: () => {}, arenas: () => {} };
  const host = new ClusterHost(settings, hooks, true, sink);
  stop = () => host.stop();
  await host.start(false);
  const out = new Uint8Array(1024);
  const join = (from: number, to: number): void => {
    for (let i = from; i < to; i++) {
      const name = `member-${i}`;
      const addr = Uint8Array.of(10, 0, i >> 8, i & 255);
      const meta = text(name.padEnd(META_BYTES));
      const alive = { incarnation: 1, node: text(name), addr, port: 7946, meta, vsn: VSN };
      transport.handlers?.packet(SELF, out.slice(0, encodeAlive(out, 0, alive)));
      transport.handlers?.turn();
    }
  };
  return { host, join };
}

for (const backend of ['js', 'auto'] as const) {
  describe(`a reader of shared members (${backend})`, () => {
    it('reads what is there when its memory was outgrown before it was first used', async () => {
      const { host, join } = await sharedHost(backend);
      const arenas = host.arenas();
      const first = new SharedTableReader(arenas);
      join(0, 20);
      const early = new SharedTableReader(arenas);
      expect(early.read()).toHaveLength(21);
      // The profiles move to bigger memory; rows, and room for them, are plenty.
      join(20, 400);
      expect([first.isStale, early.isStale]).toEqual([true, true]);
      const members = first.read();
      expect(members.length).toBeGreaterThan(50);
      expect(members.length).toBeLessThan(401);
      for (const member of members) {
        if (member.name !== 'a') expect(textOf(member.meta)).toBe(member.name.padEnd(META_BYTES));
      }
      expect(early.read()).toEqual(members);
      first.replace(host.arenas());
      expect(first.read()).toHaveLength(401);
    });
  });
}
