import type { StateEntry } from '../../state/reconcile/port.ts';
import { copyEntry, decodeValue, latin1, nodeOf, parseKey, SPACE } from '../../state/record.ts';
import { KIND, supersedes } from '../../state/record-table.ts';
import type { ReplicatedMap } from '../../state/replicated-map.ts';
import type { SimNode } from '../sim-node.ts';

interface Written {
  readonly node: SimNode;
  readonly life: number;
  readonly entry: StateEntry;
}

/**
 * What a replicated map promises (docs/anti-entropy.md): after healing, every write that a node acknowledged and lived to tell is on every node, or something newer; and so nothing
 * that was deleted comes back. And about its clock: a write is later than everything its writer had seen, and no clock runs ahead of all walls.
 */
export class RecordChecker {
  readonly name = 'records';
  readonly #written = new Map<string, Written[]>();
  /** Latest stamp that was seen, by node and life. */
  readonly #latest = new Map<string, StateEntry>();
  readonly #wallMs: () => number;

  /** `wallMs`: the furthest of all clocks. */
  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  /** Every record that a node takes goes through here. */
  watch(node: SimNode, map: ReplicatedMap): void {
    const life = node.life;
    const id = `${node.name} ${life}`;
    map.observer = (entry, isLocal) => {
      const latest = this.#latest.get(id);
      // A dormant deletion that awakes keeps its time: only what is written now must be later.
      const isAwakened = isLocal && entry.kind === KIND.tombstone && decodeValue(entry.value)?.base.timeMs === 0;
      if (isLocal && !isAwakened && latest && compare(entry, latest) <= 0) {
        throw new Error(
          `causality: ${node.name} wrote at ${entry.timeMs}.${entry.counter} after it had seen ${latest.timeMs}.${latest.counter}`,
        );
      }
      if (entry.timeMs > this.#wallMs()) {
        throw new Error(
          `drift: ${node.name} holds a record of ${entry.timeMs}, and no clock is beyond ${this.#wallMs()}`,
        );
      }
      if (!latest || compare(entry, latest) > 0) this.#latest.set(id, copyEntry(entry));
      if (!isLocal) return;
      const key = latin1(entry.key);
      const list = this.#written.get(key) ?? [];
      this.#written.set(key, list);
      list.push({ node, life, entry: copyEntry(entry) });
    };
  }

  /** Looks at one replica after healing. */
  verify(node: SimNode, map: ReplicatedMap, isUp: (name: string) => boolean, nowMs: number): void {
    for (const list of this.#written.values()) {
      const survivors = list.filter(({ node: writer, life }) => writer.isUp && writer.life === life);
      if (survivors.length === 0) continue;
      const { key } = (survivors[0] as Written).entry;
      const space = parseKey(key)?.space;
      if (space === SPACE.horizon) continue;
      // The namespace of a node that is gone goes with it.
      if (space === SPACE.own && !isUp(nodeOf((survivors[0] as Written).entry.writer))) continue;
      const newest = survivors.map(({ entry }) => entry).reduce((a, b) => (supersedes(b, a) ? b : a));
      const held = map.record(key);
      if (held && isAsNew(held, newest)) continue;
      if (!held && mayBeGone(newest, list, nowMs)) continue;
      throw new Error(
        `records: ${node.name} ${held ? 'holds an older version of' : 'lacks'} ${show(key)}, which ${newest.writer} wrote as ${newest.sequence} at ${newest.timeMs}.${newest.counter}`,
      );
    }
  }
}

/** The write itself, or something newer. */
function isAsNew(held: StateEntry, newest: StateEntry): boolean {
  return (held.writer === newest.writer && held.sequence === newest.sequence) || supersedes(held, newest);
}

/** A key may be missing when its last version was a deletion, or has expired. Of writes that did not survive some may have been known. */
function mayBeGone(newest: StateEntry, list: readonly Written[], nowMs: number): boolean {
  return list.some(({ entry }) => {
    if (entry !== newest && !supersedes(entry, newest)) return false;
    const expiresMs = decodeValue(entry.value)?.expiresMs ?? 0;
    return entry.kind === KIND.tombstone || (expiresMs > 0 && expiresMs <= nowMs);
  });
}

function compare(a: StateEntry, b: StateEntry): number {
  return a.timeMs - b.timeMs || a.counter - b.counter;
}

function show(key: Uint8Array): string {
  return JSON.stringify(latin1(key));
}
