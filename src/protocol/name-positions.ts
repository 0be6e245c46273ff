import { internerEntry } from '../kernels/arenas/interner.ts';
import type { Interner } from '../kernels/contract.ts';
import { INTERNER_ENTRY } from '../kernels/layout.ts';
import { ringPosition } from './ring.ts';

/** Words per name: the interner's hash of the name that the position is of, and the position. */
const WORDS = 2;

/**
 * Positions on the ring by id of the name. A look at all members for a neighbour or a leader costs a few ns per member that way, not the reading and hashing of each name; all engines
 * of a thread that share names share this too.
 */
export class NamePositions {
  readonly #names: Interner;
  #known = new Uint32Array(0);

  constructor(names: Interner) {
    this.#names = names;
  }

  /** `ringPosition()` of an interned name, by the id of a name that is in use. */
  of(id: number): number {
    const { u32, capacity } = this.#names;
    if (id * WORDS >= this.#known.length) this.#grow(Math.max(id, capacity));
    // Ids are used again once a name is gone; the hash tells.
    const hash = u32[internerEntry(u32, id) + (INTERNER_ENTRY.hash >>> 2)] as number;
    const at = id * WORDS;
    if (this.#known[at] !== hash || hash === 0) {
      this.#known[at] = hash;
      this.#known[at + 1] = ringPosition(this.#names.bytes(id));
    }
    return this.#known[at + 1] as number;
  }

  #grow(id: number): void {
    const larger = new Uint32Array((id + 1) * WORDS);
    larger.set(this.#known);
    this.#known = larger;
  }
}

const all = new WeakMap<Interner, NamePositions>();

/** The positions of an interner's names. */
export function positionsOf(names: Interner): NamePositions {
  let positions = all.get(names);
  if (positions === undefined) {
    positions = new NamePositions(names);
    all.set(names, positions);
  }
  return positions;
}
