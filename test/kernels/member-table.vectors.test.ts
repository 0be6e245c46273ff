// memberlist's own handlers against the table, as far as the table decides: queue, timers and the health score are the engine's,
// here they show as flags and kinds of changes.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MERGE_FLAG, NEED, STATUS } from '../../src/kernels/contract.ts';
import { ROW_FLAG, TABLE } from '../../src/kernels/layout.ts';
import { formatIp, parseIp } from '../../src/util/address.ts';
import { bytesOf, toHex } from '../../src/util/bytes.ts';
import {
  alive,
  bring,
  type ChangeView,
  dead,
  ENGINES,
  nodeState,
  type RecordSpec,
  Rig,
  STATUS_NAMES,
  suspect,
} from './member-table.fixtures.ts';

interface NodeJson {
  readonly addr: string;
  readonly port: number;
  readonly incarnation: number;
  readonly meta: string;
  readonly state: (typeof STATUS_NAMES)[number];
  readonly vsn: readonly number[];
  readonly state_age_ms?: number;
}
interface AliveJson {
  readonly Addr: string;
  readonly AddrBytes?: number;
  readonly Incarnation: number;
  readonly Meta: string | null;
  readonly Node: string;
  readonly Port: number;
  readonly Vsn: readonly number[] | null;
}
interface AccusationJson {
  readonly Incarnation: number;
  readonly Node: string;
  readonly From: string;
}
interface StateJson extends Omit<AliveJson, 'Node'> {
  readonly Name: string;
  readonly State: (typeof STATUS_NAMES)[number];
}
interface MessageJson {
  readonly alive?: AliveJson;
  readonly bootstrap?: boolean;
  readonly suspect?: AccusationJson;
  readonly dead?: AccusationJson;
  readonly merge?: readonly StateJson[];
}
interface Case {
  readonly note: string;
  readonly existing: Readonly<Record<string, NodeJson>>;
  readonly messages: readonly MessageJson[];
  readonly after: Readonly<Record<string, NodeJson>>;
  readonly events: readonly { readonly event: string; readonly node: string; readonly other_addr?: string }[];
  readonly queued: readonly { readonly key: string; readonly hex: string }[];
  readonly suspicion_timers: Readonly<Record<string, unknown>>;
  readonly health_before: number;
  readonly health_after: number;
  readonly own_incarnation_after: number;
  readonly dead_node_reclaim_ms?: number;
  readonly local_node_has_left?: boolean;
  readonly alive_delegate?: boolean;
}

const { cases } = JSON.parse(readFileSync(new URL('../vectors/state-machine.json', import.meta.url), 'utf8')) as {
  cases: readonly Case[];
};

const NOW_MS = 100_000;
const TYPE_OF: Readonly<Record<string, string>> = {
  alive: '04',
  refute: '04',
  suspect: '03',
  confirm: '03',
  dead: '05',
};

function addressBytes(text: string, length = 4): Uint8Array {
  const v4 = parseIp(text) as Uint8Array;
  return length === 4 ? v4 : Uint8Array.from([...new Array<number>(10).fill(0), 255, 255, ...v4]);
}

/** The records of one message; the engine's filter of these cases refuses the name "banned" and short versions. */
function recordsOf(message: MessageJson, filter: boolean): RecordSpec[] {
  if (message.suspect) return [suspect(message.suspect.Node, message.suspect.Incarnation, message.suspect.From)];
  if (message.dead) return [dead(message.dead.Node, message.dead.Incarnation, message.dead.From)];
  const fields = (json: Omit<AliveJson, 'Node'>): Partial<RecordSpec> => ({
    ip: addressBytes(json.Addr, json.AddrBytes),
    port: json.Port,
    meta: json.Meta ?? '',
    vsn: json.Vsn ?? [],
  });
  if (message.merge)
    return message.merge.map((state) => nodeState(state.Name, state.Incarnation, STATUS[state.State], fields(state)));
  const json = message.alive as AliveJson;
  const refused = filter && (json.Node === 'banned' || (json.Vsn ?? []).length < 6);
  return [alive(json.Node, json.Incarnation, { ...fields(json), refused })];
}

/** What memberlist tells its event delegates about a change. */
function eventOf(change: ChangeView, rig: Rig, records: readonly RecordSpec[]): object[] {
  const node = rig.rowAt(change.slot).name;
  switch (change.kind) {
    case 'alive':
      if (change.prevStatus === STATUS.dead || change.prevStatus === STATUS.left) return [{ event: 'join', node }];
      return change.flags.includes('metaChanged') ? [{ event: 'update', node }] : [];
    case 'dead':
      return [{ event: 'leave', node }];
    case 'conflict': {
      const ip = records[change.record]?.ip as Uint8Array;
      return [{ event: 'conflict', node, other_addr: formatIp(ip.length === 16 ? ip.subarray(12) : ip) }];
    }
    default:
      return [];
  }
}

for (const engine of ENGINES) {
  describe(`member table, ${engine.name}: vectors of the state machine`, () => {
    it('has vectors to replay', () => {
      expect(cases.length).toBe(115);
    });

    for (const [index, vector] of cases.entries()) {
      it(`${index}: ${vector.note}`, () => {
        const rig = new Rig(engine, { deadReclaimMs: vector.dead_node_reclaim_ms ?? 0 });
        rig.start('self', 5, { meta: 'm0' });
        for (let i = 0; i < 4; i++) bring(rig, 0, `x${i}`, STATUS.alive, 1, { ip: `10.0.1.${i}` });
        for (const [name, node] of Object.entries(vector.existing)) {
          bring(rig, NOW_MS - (node.state_age_ms ?? 1000), name, STATUS[node.state], node.incarnation, {
            ip: node.addr,
            port: node.port,
            meta: node.meta,
            vsn: node.vsn,
          });
          rig.clearFlag(name, ROW_FLAG.suspicion);
        }
        if (vector.local_node_has_left) rig.setWord(TABLE.leaving, 1);

        const events: object[] = [];
        const queued = new Map<string, { type: string; from: string }>();
        let refutations = 0;
        let ownIncarnation = vector.own_incarnation_after;
        for (const message of vector.messages) {
          const records = recordsOf(message, vector.alive_delegate === true);
          expect(rig.merge(NOW_MS, records, message.bootstrap ? MERGE_FLAG.bootstrap : 0)).toBe(records.length);
          expect(rig.word(TABLE.need)).toBe(NEED.none);
          // The reference leaves the counter alone here because its caller has raised it before; the table takes it over.
          if (message.bootstrap) ownIncarnation = message.alive?.Incarnation as number;
          for (const change of rig.changes()) {
            events.push(...eventOf(change, rig, records));
            if (change.kind === 'refute') refutations++;
            if (change.flags.includes('rebroadcast')) {
              const from = change.kind === 'suspect' ? (records[change.record]?.from ?? '') : '';
              queued.set(rig.rowAt(change.slot).name, { type: TYPE_OF[change.kind] as string, from });
            }
          }
        }

        for (const [name, node] of Object.entries(vector.after)) {
          const row = rig.row(name);
          expect(row, name).toBeDefined();
          if (!row) continue;
          expect({
            addr: formatIp(Uint8Array.from(row.ip)),
            port: row.port,
            incarnation: row.incarnation,
            meta: row.meta,
            state: STATUS_NAMES[row.status],
            vsn: row.vsn,
          }).toEqual({
            addr: node.addr,
            port: node.port,
            incarnation: node.incarnation,
            meta: node.meta,
            state: node.state,
            vsn: node.vsn,
          });
        }
        for (const name of ['n1', 'banned']) if (!vector.after[name]) expect(rig.slot(name)).toBe(-1);
        expect(events).toEqual(vector.events.filter(({ event }) => event !== 'alive-delegate'));
        expect(refutations).toBe(vector.health_after - vector.health_before);
        expect(rig.word(TABLE.incarnation)).toBe(ownIncarnation);
        const timers = ['n1', 'self'].filter((name) => ((rig.row(name)?.flags ?? 0) & ROW_FLAG.suspicion) !== 0);
        expect(timers).toEqual(Object.keys(vector.suspicion_timers));
        expect([...queued.keys()]).toEqual(vector.queued.map(({ key }) => (key === '10.0.0.1' ? 'self' : key)));
        for (const { key, hex } of vector.queued) {
          const message = queued.get(key === '10.0.0.1' ? 'self' : key);
          expect(hex.slice(0, 2)).toBe(message?.type);
          // A confirmation is passed on by the engine, with another accuser's name.
          const isConfirmed = vector.messages.filter((m) => m.suspect).length > 1;
          if (message?.from && message.from !== '' && !isConfirmed) expect(hex).toContain(toHex(bytesOf(message.from)));
        }
      });
    }
  });
}
