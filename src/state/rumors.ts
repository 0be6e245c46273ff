import type { MapStore } from './map-store.ts';
import { EntryReader, EntryWriter, entryBytesMax, MessageReader, MessageWriter } from './reconcile/codec.ts';
import type { Refused, StateEntry } from './reconcile/port.ts';

/** Fresh records that wait to be told, at most; what is beyond is left to anti-entropy. */
const HOT_MAX = 2048;
/** A record that takes more of a packet than this is announced by name, and sent over a stream to whoever lacks it. */
const LARGE_SHARE = 0.6;
/** Announcement: writer, sequence, key. */
const NAME_BYTES = 16;
const NAMES_MAX = 1024;

interface Hot {
  readonly slot: number;
  readonly sequence: number;
  left: number;
}

/** A record by name. */
export interface RecordName {
  readonly writer: string;
  readonly sequence: number;
}

/**
 * Rumor mongering (Demers et al. 1987, §1.4; SWIM's limit of λ log n instead of a coin): what is news here is told to some others with the next few ticks, least told first,
 * and then no more. What gets lost anti-entropy finds.
 */
export class Rumors {
  readonly #store: MapStore;
  #hot: Hot[] = [];
  /** Slots in #hot: newer news takes the place of older. */
  readonly #slots = new Map<number, Hot>();
  /** Records left out because too many waited. */
  dropped = 0;
  sent = 0;

  constructor(store: MapStore) {
    this.#store = store;
  }

  get waiting(): number {
    return this.#slots.size;
  }

  /** A record is news: it is told `times` times. False when too many wait already. */
  add(slot: number, times: number): boolean {
    if (times < 1) return true;
    if (this.#slots.size >= HOT_MAX && !this.#slots.has(slot)) {
      this.dropped++;
      return false;
    }
    const hot = { slot, sequence: this.#store.table.sequence(slot), left: times };
    this.#slots.set(slot, hot);
    this.#hot.push(hot);
    if (this.#hot.length > 2 * HOT_MAX) this.#hot = [...this.#slots.values()];
    return true;
  }

  /**
   * One packet's worth for one member, of what has been told least; undefined when nothing waits. `skip`: records of this tick's earlier packets to the same member.
   */
  packet(room: number, skip: Set<number>): Uint8Array | undefined {
    const out = new MessageWriter(room);
    const body = new MessageWriter(room);
    const writer = new EntryWriter(body);
    const names: RecordName[] = [];
    let entries = 0;
    let used = 8;
    for (const hot of this.#hot) {
      if (this.#slots.get(hot.slot) !== hot || skip.has(hot.slot)) continue;
      if (this.#store.table.sequence(hot.slot) !== hot.sequence) {
        this.#slots.delete(hot.slot);
        continue;
      }
      const entry = this.#store.read(hot.slot);
      const bytes = entryBytesMax(entry) + entry.writer.length;
      if (bytes > room * LARGE_SHARE) {
        const nameBytes = NAME_BYTES + entry.writer.length;
        if (used + nameBytes > room) continue;
        names.push({ writer: entry.writer, sequence: entry.sequence });
        used += nameBytes;
      } else {
        if (used + bytes > room) break;
        writer.entry(entry);
        entries++;
        used += bytes;
      }
      skip.add(hot.slot);
      this.sent++;
      if (--hot.left <= 0) this.#slots.delete(hot.slot);
    }
    if (entries + names.length === 0) return undefined;
    out.varint(entries);
    out.bytes(body.take());
    writeNames(out, names);
    return out.take();
  }

  /** Puts what was told least in front; once per tick. */
  settle(): void {
    if (this.#hot.length === 0) return;
    this.#hot = [...this.#slots.values()].sort((a, b) => b.left - a.left);
  }
}

export function writeNames(out: MessageWriter, names: readonly RecordName[]): void {
  out.varint(names.length);
  const writer = new EntryWriter(out);
  for (const { writer: name, sequence } of names) {
    writer.writer(name);
    out.varint(sequence);
  }
}

export function readNames(input: MessageReader): RecordName[] {
  const names: RecordName[] = [];
  const reader = new EntryReader(input);
  for (let left = Math.min(NAMES_MAX, input.count(2)); left > 0 && input.refused === undefined; left--) {
    const { name } = reader.writer();
    names.push({ writer: name, sequence: input.varint() });
  }
  return names;
}

/** What a packet of rumors says. */
export function readRumors(
  bytes: Uint8Array,
): { readonly entries: readonly StateEntry[]; readonly names: readonly RecordName[] } | Refused {
  const input = new MessageReader(bytes);
  const entries = new EntryReader(input).entries();
  const names = readNames(input);
  return input.isWhole() ? { entries, names } : (input.refused as Refused);
}

/** A message of records alone, for who asked for them by name. */
export function writeEntries(entries: readonly StateEntry[]): Uint8Array {
  const out = new MessageWriter();
  const writer = new EntryWriter(out);
  out.varint(entries.length);
  for (const entry of entries) writer.entry(entry);
  out.varint(0);
  return out.take();
}
