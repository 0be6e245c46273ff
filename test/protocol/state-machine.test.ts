import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { broadcastQueueSections } from '../../src/kernels/arenas/broadcast-queue.ts';
import { chooseBackend } from '../../src/kernels/backend.ts';
import { type EngineKernels, STATUS } from '../../src/kernels/contract.ts';
import { HEADER, QUEUE_ENTRY, ROW, TABLE } from '../../src/kernels/layout.ts';
import { lan } from '../../src/protocol/config.ts';
import { GossipEngine } from '../../src/protocol/engine.ts';
import { type Address, formatIp, parseIp } from '../../src/util/address.ts';
import { bytesOf, textOf, toHex } from '../../src/util/bytes.ts';
import {
  encodeAlive,
  encodeDead,
  encodeNodeState,
  encodePushPullHeader,
  encodeSuspect,
} from '../../src/wire/messages.ts';

/**
 * Every case of memberlist's own table of state transitions, replayed whole through the engine: the table before is made by
 * messages, the messages of the case come as packets and push/pull bodies, and everything visible is compared afterwards.
 *
 * Where hearsay differs on purpose (docs/protocol.md §19), the expectation says so:
 *   - a refutation is queued under the name, not under the text of the IP;
 *   - an empty Vsn is passed on as nil (readers treat the two alike);
 *   - a metadata update raises the incarnation counter itself, it is not told a number.
 */

interface NodeState {
  addr: string;
  incarnation: number;
  meta: string;
  port: number;
  state: keyof typeof STATUS;
  vsn: number[];
  state_age_ms?: number;
}
interface AliveMessage {
  Addr: string;
  AddrBytes: number;
  Incarnation: number;
  Meta: string | null;
  Node: string;
  Port: number;
  Vsn: number[] | null;
}
interface Accusation {
  From: string;
  Incarnation: number;
  Node: string;
}
interface MergeEntry {
  Addr: string;
  Incarnation: number;
  Meta: string;
  Name: string;
  Port: number;
  State: keyof typeof STATUS;
  Vsn: number[];
}
interface Message {
  alive?: AliveMessage;
  bootstrap?: boolean;
  suspect?: Accusation;
  dead?: Accusation;
  merge?: MergeEntry[];
}
interface Case {
  note: string;
  existing: Record<string, NodeState>;
  messages: Message[];
  after: Record<string, NodeState>;
  events: { event: string; node: string; other_addr?: string }[];
  queued: { key: string; hex: string }[];
  suspicion_timers: Record<string, { k: number; min_ms: number; max_ms: number }>;
  health_before: number;
  health_after: number;
  own_incarnation_after: number;
  dead_node_reclaim_ms?: number;
  local_node_has_left?: boolean;
  alive_delegate?: boolean;
}

const { cases } = JSON.parse(readFileSync(new URL('../vectors/state-machine.json', import.meta.url), 'utf8')) as {
  cases: Case[];
};
const VSN = [1, 5, 2, 0, 0, 0];
const SENDER: Address = { ip: Uint8Array.of(10, 0, 0, 99), port: 7946 };
const STATUS_NAMES = ['alive', 'suspect', 'dead', 'left'];

function message(encode: (out: Uint8Array) => number): Uint8Array {
  const out = new Uint8Array(2048);
  return out.subarray(0, encode(out));
}

function aliveBytes(alive: AliveMessage): Uint8Array {
  const v4 = parseIp(alive.Addr) as Uint8Array;
  const mapped = Uint8Array.from([...new Array<number>(10).fill(0), 255, 255, ...v4]);
  return message((out) =>
    encodeAlive(out, 0, {
      incarnation: alive.Incarnation,
      node: bytesOf(alive.Node),
      addr: alive.AddrBytes === 16 ? mapped : v4,
      port: alive.Port,
      meta: alive.Meta === null ? null : bytesOf(alive.Meta),
      vsn: alive.Vsn === null ? null : Uint8Array.from(alive.Vsn),
    }),
  );
}

function accusationBytes(encode: typeof encodeSuspect, { From, Incarnation, Node }: Accusation): Uint8Array {
  return message((out) => encode(out, 0, { incarnation: Incarnation, node: bytesOf(Node), from: bytesOf(From) }));
}

function pushPullBytes(entries: MergeEntry[]): Uint8Array {
  return message((out) => {
    let at = encodePushPullHeader(out, 0, { nodes: entries.length, userStateLength: 0, join: false });
    for (const entry of entries) {
      at = encodeNodeState(out, at, {
        name: bytesOf(entry.Name),
        addr: parseIp(entry.Addr) as Uint8Array,
        port: entry.Port,
        meta: bytesOf(entry.Meta),
        incarnation: entry.Incarnation,
        state: STATUS[entry.State],
        vsn: Uint8Array.from(entry.Vsn),
      });
    }
    return at;
  });
}

/** An engine in the state that all cases start from, driven by hand at a clock of its own. */
class Replay {
  readonly engine: GossipEngine;
  readonly kernels: EngineKernels;
  readonly asked: string[] = [];
  nowMs = 1_000_000;

  constructor(testCase: Case, backend: 'js' | 'native') {
    const { alive_delegate, dead_node_reclaim_ms, existing, health_before } = testCase;
    this.kernels = chooseBackend(backend).createEngineKernels({ rngSeed: 1 });
    const config = lan({
      name: 'self',
      address: { ip: Uint8Array.of(10, 0, 0, 1), port: 7946 },
      meta: bytesOf('m0'),
      extensions: false,
      compression: false,
      deadNodeReclaimMs: dead_node_reclaim_ms ?? 0,
      aliveFilter: alive_delegate
        ? ({ name }) => {
            this.asked.push(name);
            return name !== 'banned';
          }
        : undefined,
    });
    this.engine = new GossipEngine(config, this.kernels);
    this.engine.start(this.nowMs);
    // Two refutations: incarnation 3, health score 2. Two updates: incarnation 5.
    for (const incarnation of [1, 2]) {
      this.packet(accusationBytes(encodeSuspect, { From: 'stranger', Incarnation: incarnation, Node: 'self' }));
    }
    for (let i = 0; i < 2; i++) this.engine.setMeta(this.nowMs, bytesOf('m0'));
    expect([this.engine.self.incarnation, this.engine.healthScore]).toEqual([5, health_before]);
    for (let i = 0; i < 4; i++) {
      this.packet(
        aliveBytes({
          Addr: `10.0.1.${i}`,
          AddrBytes: 4,
          Incarnation: 1,
          Meta: null,
          Node: `x${i}`,
          Port: 7946,
          Vsn: VSN,
        }),
      );
    }
    for (const [name, state] of Object.entries(existing)) this.#prepare(name, state);
    if (testCase.local_node_has_left) this.kernels.table.u32[TABLE.leaving >>> 2] = 1;
    this.settle();
    this.asked.length = 0;
  }

  /** What the events said since the last call. */
  settle(): Case['events'] {
    const events: Case['events'] = [];
    for (let event = this.engine.pollEvent(); event; event = this.engine.pollEvent()) {
      if (event.type === 'join' || event.type === 'update') events.push({ event: event.type, node: event.member.name });
      if (event.type === 'dead' || event.type === 'leave') events.push({ event: 'leave', node: event.member.name });
      if (event.type === 'conflict') {
        const ip = event.other.ip;
        events.push({
          event: 'conflict',
          node: event.member.name,
          other_addr: formatIp(ip.length === 16 ? ip.subarray(12) : ip),
        });
      }
    }
    return events;
  }

  clearQueue(): void {
    this.kernels.queue.prune(0, 0);
    this.kernels.queue.prune(1, 0);
  }

  packet(bytes: Uint8Array): void {
    this.engine.handlePacket(this.nowMs, SENDER, bytes);
  }

  apply({ alive, bootstrap, suspect, dead, merge }: Message): void {
    if (alive && bootstrap) this.engine.setMeta(this.nowMs, bytesOf(alive.Meta ?? ''));
    else if (alive) this.packet(aliveBytes(alive));
    if (suspect) this.packet(accusationBytes(encodeSuspect, suspect));
    if (dead) this.packet(accusationBytes(encodeDead, dead));
    if (merge) this.engine.handleStream(this.nowMs, SENDER, pushPullBytes(merge));
  }

  table(): Record<string, Omit<NodeState, 'state_age_ms'>> {
    const rows = this.engine.members().filter(({ name }) => !/^x\d$/.test(name));
    return Object.fromEntries(
      rows.map(({ name, address, meta, incarnation, status, vsn }) => [
        name,
        {
          addr: formatIp(address.ip),
          incarnation,
          meta: textOf(meta),
          port: address.port,
          state: STATUS_NAMES[status] as keyof typeof STATUS,
          vsn: [...vsn],
        },
      ]),
    );
  }

  queued(): Case['queued'] {
    const { queue, names } = this.kernels;
    const { entries, heap } = broadcastQueueSections(queue.arena);
    const found: Case['queued'] = [];
    for (let i = 0; i < (queue.u32[HEADER.capacity >>> 2] as number); i++) {
      const at = entries + i * QUEUE_ENTRY.stride;
      if (queue.u8[at + QUEUE_ENTRY.state] !== 1) continue;
      const offset = heap + (queue.u32[(at + QUEUE_ENTRY.offset) >>> 2] as number);
      const length = queue.u32[(at + QUEUE_ENTRY.length) >>> 2] as number;
      found.push({
        key: textOf(names.bytes(queue.u32[(at + QUEUE_ENTRY.key) >>> 2] as number)),
        hex: toHex(queue.u8.subarray(offset, offset + length)),
      });
    }
    return found;
  }

  /** Brings a member into the state it shall have; a suspect has no timer, which only a look behind the scenes can arrange. */
  #prepare(name: string, state: NodeState): void {
    const { addr, incarnation, meta, port, vsn } = state;
    this.packet(
      aliveBytes({ Addr: addr, AddrBytes: 4, Incarnation: incarnation, Meta: meta, Node: name, Port: port, Vsn: vsn }),
    );
    if (state.state === 'dead')
      this.packet(accusationBytes(encodeDead, { From: 'x0', Incarnation: incarnation, Node: name }));
    if (state.state === 'left')
      this.packet(accusationBytes(encodeDead, { From: name, Incarnation: incarnation, Node: name }));
    if (state.state === 'suspect') {
      const { table } = this.kernels;
      const row = table.rowsOffset + table.find(bytesOf(name)) * ROW.stride;
      table.u8[row + ROW.status] = STATUS.suspect;
      table.u32[TABLE.aliveCount >>> 2] = (table.u32[TABLE.aliveCount >>> 2] as number) - 1;
      table.u32[TABLE.suspectCount >>> 2] = (table.u32[TABLE.suspectCount >>> 2] as number) + 1;
    }
    this.nowMs += state.state_age_ms ?? 1;
  }
}

function expectedQueue(testCase: Case): Case['queued'] {
  return testCase.queued.map(({ key, hex }) => ({
    key: key === '10.0.0.1' ? 'self' : key,
    hex: testCase.note.includes('Vsn [] (nil: false)') ? hex.replace(/a0$/, 'c0') : hex,
  }));
}

for (const backend of ['js', 'native'] as const) {
  const isThere = backend === 'js' || chooseBackend('auto').name === 'native';
  describe.runIf(isThere)(`memberlist state transitions (${backend})`, () => {
    for (const testCase of cases) {
      it(testCase.note, () => {
        const replay = new Replay(testCase, backend);
        replay.clearQueue();
        for (const step of testCase.messages) replay.apply(step);
        const events = replay.settle();
        const isUpdate = testCase.messages.some((step) => step.bootstrap);

        expect(replay.table()).toEqual(testCase.after);
        expect(events).toEqual(testCase.events.filter(({ event }) => event !== 'alive-delegate'));
        expect(replay.queued()).toEqual(expectedQueue(testCase));
        expect(replay.engine.healthScore).toBe(testCase.health_after);
        expect(replay.kernels.table.u32[TABLE.incarnation >>> 2]).toBe(
          testCase.own_incarnation_after + (isUpdate ? 1 : 0),
        );
        const timers = Object.keys(testCase.after).flatMap((name) => {
          const found = replay.engine.suspicion(name);
          return found ? [[name, { k: found.wanted, min_ms: found.minMs, max_ms: found.maxMs }]] : [];
        });
        expect(Object.fromEntries(timers)).toEqual(testCase.suspicion_timers);
        if (testCase.alive_delegate) {
          const names = testCase.events.filter(({ event }) => event === 'alive-delegate').map(({ node }) => node);
          expect(replay.asked).toEqual(names);
        }
      });
    }
  });
}
