import type { BroadcastQueueArenaOptions } from '../../src/kernels/arenas/broadcast-queue.ts';
import type { Item, Request } from './broadcast-queue.driver.ts';
import type { Op } from './broadcast-queue.ops.ts';

interface Entry {
  readonly item: Item;
  readonly lane: number;
  readonly id: number;
  transmits: number;
}

const cost = (entry: Entry): number => entry.item.bytes.length + 2;

/**
 * What a broadcast queue does, written as plainly as possible: arrays that are sorted and filtered from scratch. The
 * oracle of the property tests; it shares no code with the engines.
 */
export class ModelQueue {
  entries: Entry[] = [];
  finished: number[] = [];
  evicted = 0;
  invalidated = 0;
  transmitted = 0;
  credit = 0;
  #nextId = 1;
  readonly #sizes: BroadcastQueueArenaOptions;

  constructor(sizes: BroadcastQueueArenaOptions) {
    this.#sizes = sizes;
  }

  apply(op: Op): number | Uint8Array[] {
    this.finished = [];
    switch (op.kind) {
      case 'enqueue':
        return op.items.filter((item) => this.#enqueue(item)).length;
      case 'fill':
        return this.#fill(op.requests, op.transmitLimit, op.userShare);
      case 'invalidate':
        this.#drop(this.entries.filter((entry) => op.key !== 0 && entry.item.key === op.key));
        return 0;
      case 'prune':
        this.#drop(this.lane(op.lane).slice(op.keep).reverse());
        return 0;
    }
  }

  lane(lane: number): Entry[] {
    return this.entries
      .filter((entry) => entry.lane === lane)
      .sort((a, b) => a.transmits - b.transmits || cost(b) - cost(a) || b.id - a.id);
  }

  #drop(gone: Entry[]): void {
    for (const entry of gone) if (entry.item.token) this.finished.push(entry.item.token);
    this.entries = this.entries.filter((entry) => !gone.includes(entry));
    if (this.entries.length === 0) this.#nextId = 1;
  }

  #enqueue(item: Item): boolean {
    const lane = item.lane ?? 0;
    const length = item.bytes.length;
    if (length < 1 || length > 2048 || lane > 1 || (item.prefix ?? 0) > length) return false;
    const replaced = this.entries.filter((entry) => item.key && entry.item.key === item.key);
    this.invalidated += replaced.length;
    this.#drop(replaced);

    const budget = this.#sizes.heapBytes - Math.floor(this.#sizes.heapBytes / 4);
    const fits = (entries: Entry[]) =>
      entries.length < this.#sizes.capacity &&
      entries.reduce((sum, entry) => sum + entry.item.bytes.length, 0) + length <= budget;
    if (lane === 1 && !fits(this.lane(0))) return false;
    while (!fits(this.entries)) {
      const victim = this.lane(1).at(-1) ?? this.lane(lane).at(-1);
      this.#drop([victim as Entry]);
      this.evicted++;
    }
    this.entries.push({ item, lane, id: this.#nextId++, transmits: 0 });
    return true;
  }

  #fill(requests: readonly Request[], transmitLimit: number, userShare: number): Uint8Array[] {
    let top = 0;
    return requests.map((request) => {
      const bytes = this.#packet(request, this.#sizes.outBytes - top, transmitLimit, userShare);
      top += Math.ceil(bytes.length / 8) * 8;
      return bytes;
    });
  }

  #packet(request: Request, room: number, transmitLimit: number, userShare: number): Uint8Array {
    const lead = request.lead;
    if (lead && lead.length > room) return new Uint8Array();
    const limit = Math.min(request.limit, room - (lead ? lead.length + 4 : 2));
    const taken = this.#choose(limit, lead ? 126 : 127, userShare);
    this.transmitted += taken.length;
    for (const entry of taken) entry.transmits++;
    this.#drop(taken.filter((entry) => entry.transmits >= transmitLimit));

    const parts = taken.map(({ item }) => {
      if (!item.prefix || request.flags === 1) return item.bytes;
      return Uint8Array.of(8, ...item.bytes.subarray(item.prefix));
    });
    if (lead) parts.unshift(lead);
    if (parts.length < 2) return parts[0] ?? new Uint8Array();
    const lengths = parts.flatMap((part) => [part.length >> 8, part.length & 255]);
    return Uint8Array.from([7, parts.length, ...lengths, ...parts.flatMap((part) => [...part])]);
  }

  /** Membership up to its part, user with the rest, membership with what is left (JsBroadcastQueue has the rule). */
  #choose(limit: number, partsMax: number, userShare: number): Entry[] {
    const taken: Entry[] = [];
    if (limit <= 2) return taken;
    const user = this.lane(1);
    if (user.length === 0 || userShare === 0) this.credit = 0;
    let reserved = 0;
    const smallest = Math.min(...user.map(cost));
    if (userShare > 0 && smallest <= limit) {
      this.credit = Math.min(this.credit + Math.max(1, Math.floor((limit * userShare) / 256)), limit);
      if (this.credit >= smallest) reserved = Math.min(this.credit, sum(user.map(cost)));
    }
    const partsKept = reserved === 0 ? 0 : Math.min(user.length, Math.max(1, Math.floor((partsMax * userShare) / 256)));
    this.#takeLane(taken, 0, limit - reserved, partsMax - partsKept);
    const before = sum(taken.map(cost));
    this.#takeLane(taken, 1, limit, partsMax);
    this.credit = Math.max(0, this.credit - (sum(taken.map(cost)) - before));
    if (reserved > 0) this.#takeLane(taken, 0, limit, partsMax);
    return taken;
  }

  /** Protocol §10.3 to the letter. */
  #takeLane(taken: Entry[], lane: number, limit: number, partsMax: number): void {
    const queue = this.lane(lane);
    const highest = Math.max(...queue.map((entry) => entry.transmits));
    for (let tier = 0; tier <= highest; ) {
      const free = limit - sum(taken.map(cost)) - 2;
      if (free <= 0 || taken.length >= partsMax) return;
      const next = queue.find(
        (entry) => entry.transmits === tier && !taken.includes(entry) && entry.item.bytes.length <= free,
      );
      if (next) taken.push(next);
      else tier++;
    }
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
