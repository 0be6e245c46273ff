// A plain store of last-writer-wins registers behind the port, for benchmarks and tests of the strategies by themselves. What the map has besides (limits,
// subscriptions, dormant tombstones, owners) would only be noise here.
import type { ApplyResult, Cover, ReconcileStore, StateEntry, WriteName } from '../../src/state/reconcile/port.ts';
import { KIND, RecordTable, supersedes } from '../../src/state/record-table.ts';

export { KIND };
export const TEST_KEY = Uint32Array.of(0x01234567, 0x89abcdef, 0xfedcba98, 0x76543210);

export class RegisterStore extends RecordTable implements ReconcileStore {
  readonly #name: string;
  #sequence = 0;

  constructor(name: string, key = TEST_KEY) {
    super(key);
    this.#name = name;
  }

  /** A write of this node itself. */
  write(key: Uint8Array, value: Uint8Array, timeMs: number, kind: number = KIND.value): StateEntry {
    this.#sequence++;
    const entry = { key, writer: this.#name, sequence: this.#sequence, timeMs, counter: 0, kind, value };
    this.apply(timeMs, [entry], [{ writer: this.#name, from: this.#sequence - 1, to: this.#sequence }]);
    return entry;
  }

  get(key: Uint8Array): StateEntry | undefined {
    const slot = this.find(key);
    return slot < 0 ? undefined : this.read(slot);
  }

  apply(_nowMs: number, entries: readonly StateEntry[], covers: readonly Cover[]): ApplyResult {
    let applied = 0;
    let stale = 0;
    const obsolete: number[] = [];
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as StateEntry;
      const known = this.find(entry.key);
      if (known < 0 && this.log.isCovered(entry.writer, entry.sequence)) {
        obsolete.push(i);
        continue;
      }
      if (known < 0 || supersedes(entry, this.read(known))) {
        this.put(entry, known);
        applied++;
      } else stale++;
      this.log.cover(entry.writer, entry.sequence - 1, entry.sequence);
    }
    for (const { writer, from, to } of covers) this.log.cover(writer, from, to);
    return { applied, stale, refused: 0, obsolete };
  }

  discard(_nowMs: number, { key, writer, sequence }: WriteName): void {
    const slot = this.find(key);
    if (slot < 0) return;
    const held = this.read(slot);
    if (held.writer === writer && held.sequence === sequence) this.drop(slot);
  }

  /** Forgets a tombstone, as a store does when everybody has seen it. */
  collect(key: Uint8Array): void {
    const slot = this.find(key);
    if (slot < 0) return;
    const { writer, sequence, kind } = this.read(slot);
    if (kind !== KIND.tombstone) return;
    this.drop(slot);
    this.log.collect(writer, sequence);
  }
}
