// One store of a million records: what a write costs, what it takes in memory, and how an empty node gets it all.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HashIndex } from '../../src/state/reconcile/hash-index.ts';
import { StateHash } from '../../src/state/reconcile/hashes.ts';
import type { Conversation, Strategy } from '../../src/state/reconcile/port.ts';
import { CHECKSUM_FIRST, RANGE } from '../../src/state/reconcile/strategies.ts';
import { Prng } from '../../src/util/prng.ts';
import { type Cost, converse, type Pair, States } from './states.ts';

const SIZE = 1_000_000;
const SMALL = 1000;
const WRITES = 20_000;
const RESOLUTION_MS = 1;

export interface Million {
  /** An update of a key in a store, and of the hash index alone, ns. */
  readonly writeNs: Readonly<Record<'small' | 'large', number>>;
  readonly indexNs: Readonly<Record<'small' | 'large', number>>;
  /** Position and fingerprint of one record, ns. */
  readonly hashNs: number;
  /** The longest of a million insertions into the hash index, ms. */
  readonly indexMaxMs: number;
  /** Bytes of both indexes and the recent list per record. */
  readonly indexBytes: number;
  readonly ten: Readonly<Record<string, { readonly bytes: number; readonly turns: number; readonly cpuMs: number }>>;
  readonly first: Readonly<Record<string, FirstSync>>;
}

export interface FirstSync {
  readonly bytes: number;
  readonly messages: number;
  readonly turns: number;
  readonly cpuMs: number;
  readonly turnP50Ms: number;
  readonly turnP99Ms: number;
  readonly turnMaxMs: number;
  /** The same transfer with a turn of the event loop between two messages: delay of that loop (which does the work of both sides), ms, and how long it all took. */
  readonly loopP99Ms: number;
  readonly loopMaxMs: number;
  readonly tookMs: number;
}

export async function million(): Promise<Million> {
  const small = indexed(SMALL);
  const large = indexed(SIZE);
  const states = new States(SMALL, 1);
  states.fill('fresh');
  const writeSmall = writes(states, SMALL);
  const many = new States(SIZE, 1);
  many.fill('fresh');
  const writeLarge = writes(many, SIZE);
  const ten: Record<string, { bytes: number; turns: number; cpuMs: number }> = {};
  for (const strategy of [RANGE, CHECKSUM_FIRST]) {
    const costs: Cost[] = [];
    for (let i = 0; i < 5; i++) {
      many.diverge(10);
      costs.push(converse(strategy, many, i));
    }
    const worst = costs.reduce((one, two) => (two.bytes > one.bytes ? two : one));
    const cpuMs = costs.map((cost) => cost.cpuMs).sort((one, two) => one - two)[2] as number;
    ten[strategy.name] = { bytes: worst.bytes, turns: Math.max(...costs.map((cost) => cost.turns)), cpuMs };
    if (costs.some(({ isEqual }) => !isEqual)) throw new Error('the stores differ');
  }
  const first: Record<string, FirstSync> = {};
  for (const strategy of [RANGE, CHECKSUM_FIRST]) {
    many.fill('empty');
    const cost = converse(strategy, many, 3);
    if (!cost.isEqual) throw new Error('the stores differ');
    const at = (part: number) => cost.turnsMs[Math.floor(part * (cost.turnsMs.length - 1))] as number;
    const { bytes, messages, turns, cpuMs } = cost;
    const times = { turnP50Ms: at(0.5), turnP99Ms: at(0.99), turnMaxMs: at(1) };
    many.fill('empty');
    first[strategy.name] = { bytes, messages, turns, cpuMs, ...times, ...(await inTurns(strategy, many)) };
  }
  return {
    writeNs: { small: writeSmall, large: writeLarge },
    hashNs: hashes(),
    indexNs: { small: small.ns, large: large.ns },
    indexMaxMs: large.maxMs,
    indexBytes: large.bytes,
    ten,
    first,
  };
}

/** A conversation as a program would have it: whoever has a message to take or to make does so in a turn of the loop of its own. */
async function inTurns(
  strategy: Strategy,
  { a, b }: Pair,
): Promise<Pick<FirstSync, 'loopP99Ms' | 'loopMaxMs' | 'tookMs'>> {
  const sides = [strategy.converse(b, { salt: 9 }), strategy.converse(a, { salt: 9 })] as const;
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const began = performance.now();
  let message: Uint8Array | undefined = sides[1].begin(0);
  for (let side = 0; message !== undefined; side = 1 - side) {
    const [receiver, sender] = [sides[side], sides[1 - side]] as [Conversation, Conversation];
    let reply: Uint8Array | undefined;
    while (message !== undefined) {
      reply = receiver.receive(0, message).reply;
      await nextTurn();
      message = sender.next(0);
      await nextTurn();
    }
    message = reply;
  }
  const tookMs = performance.now() - began;
  delay.disable();
  // The monitor counts from one of its own timers to the next: what it was late by is what is above its resolution.
  const late = (ns: number) => Math.max(0, ns / 1e6 - RESOLUTION_MS);
  return { loopP99Ms: late(delay.percentile(99)), loopMaxMs: late(delay.max), tookMs };
}

/** Updates of random keys that reach both stores: ns per store and write. */
function writes(states: States, size: number): number {
  const prng = new Prng(3);
  const began = performance.now();
  for (let i = 0; i < WRITES; i++) states.writeBoth(Math.floor(prng.unit() * size));
  return ((performance.now() - began) * 1e6) / WRITES / 2;
}

/** Hashes of records of the size that all these measurements use: ns each. */
function hashes(): number {
  const hash = new StateHash(Uint32Array.of(1, 2, 3, 4));
  const [key, value] = [new Uint8Array(15), new Uint8Array(32)];
  const rounds = 200_000;
  const began = performance.now();
  for (let i = 0; i < rounds; i++) {
    key[i & 7] = i;
    hash.ofRecord({ key, writer: 'node-00', sequence: i, timeMs: i, counter: 0, kind: 0, value });
  }
  return ((performance.now() - began) * 1e6) / rounds;
}

/** A hash index of `size` records: one removal and one addition, the longest addition, and its memory per record. */
function indexed(size: number): { readonly ns: number; readonly maxMs: number; readonly bytes: number } {
  const prng = new Prng(5);
  const before = process.memoryUsage().arrayBuffers;
  const index = new HashIndex(0);
  const positions = Uint32Array.from({ length: size }, () => prng.next());
  let maxMs = 0;
  for (let slot = 0; slot < size; slot++) {
    const began = performance.now();
    index.add(slot, positions[slot] as number, prng.next(), prng.next());
    maxMs = Math.max(maxMs, performance.now() - began);
  }
  const bytes = (process.memoryUsage().arrayBuffers - before - positions.byteLength) / size;
  const rounds = 200_000;
  const began = performance.now();
  for (let i = 0; i < rounds; i++) {
    const slot = Math.floor(prng.unit() * size);
    const position = positions[slot] as number;
    index.remove(slot, position);
    index.add(slot, position, i, slot);
  }
  return { ns: ((performance.now() - began) * 1e6) / rounds, maxMs, bytes };
}
