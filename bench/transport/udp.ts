// Packets per second and CPU per packet of the two UDP sockets, over loopback: one socket sends windows of 64 datagrams to
// another of the same process, the next window when the last one has arrived. Interleaved A B A B, medians.
//
//   node bench/transport/udp.ts [seconds per run, default 1]        (Node 22.18+, or through a bundler)

import { nativeUdp } from '../../src/transport/native.ts';
import type { PacketSocket } from '../../src/transport/packet-socket.ts';
import { BatchedSocket } from '../../src/transport/udp-batched.ts';
import { DgramSocket } from '../../src/transport/udp-dgram.ts';

const WINDOW = 64;
const ROUNDS = 5;
const runMs = Number(process.env['BENCH_SMOKE'] === '1' ? 0.05 : (process.argv[2] ?? 1)) * 1000;
const native = nativeUdp();
const loopback = { ip: new Uint8Array([127, 0, 0, 1]), port: 0 };

interface Sample {
  readonly packetsPerSecond: number;
  readonly cpuMicrosPerPacket: number;
}

async function measure(kind: 'dgram' | 'batched', bytes: number): Promise<Sample> {
  let received = 0;
  let arrived: (() => void) | undefined;
  const handlers = {
    packet: () => {
      received++;
    },
    turn: () => {
      if (received >= WINDOW) arrived?.();
    },
    error: (error: Error) => {
      throw error;
    },
  };
  const make = (): PacketSocket =>
    kind === 'dgram' || native === undefined
      ? new DgramSocket(loopback, handlers)
      : new BatchedSocket(loopback, handlers, native);
  const [source, target] = [make(), make()];
  await source.open();
  const to = await target.open();
  const payload = new Uint8Array(bytes).fill(7);
  let packets = 0;
  const cpu = process.cpuUsage();
  const from = performance.now();
  while (performance.now() - from < runMs) {
    received = 0;
    const done = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    for (let i = 0; i < WINDOW; i++) source.send(to, payload);
    source.flush();
    await done;
    packets += WINDOW;
  }
  const ms = performance.now() - from;
  const used = process.cpuUsage(cpu);
  await Promise.all([source.close(), target.close()]);
  return { packetsPerSecond: (packets / ms) * 1000, cpuMicrosPerPacket: (used.user + used.system) / packets };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

const kinds = native === undefined ? (['dgram'] as const) : (['dgram', 'batched'] as const);
process.stdout.write('socket    bytes  packets/s  CPU us/packet (send + receive)\n');
for (const bytes of [100, 1400]) {
  const samples = { dgram: [] as Sample[], batched: [] as Sample[] };
  for (const kind of kinds) await measure(kind, bytes); // warm-up
  for (let round = 0; round < ROUNDS; round++) for (const kind of kinds) samples[kind].push(await measure(kind, bytes));
  for (const kind of kinds) {
    const rate = Math.round(median(samples[kind].map((sample) => sample.packetsPerSecond)));
    const cpu = median(samples[kind].map((sample) => sample.cpuMicrosPerPacket)).toFixed(2);
    process.stdout.write(
      `${kind.padEnd(8)} ${String(bytes).padStart(6)} ${String(rate).padStart(10)} ${cpu.padStart(14)}\n`,
    );
  }
}
