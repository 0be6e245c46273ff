import type { Address } from '../util/address.ts';
import type { SimNode } from './sim-node.ts';
import type { Step } from './timeline.ts';

/** A packet on its way to a node. Used again and again: see PacketPool. */
export class Arrival implements Step {
  // Set by who sends it, before it goes on its way.
  declare node: SimNode;
  declare from: Address;
  declare bytes: Uint8Array;
  life = 0;
  isDropped = false;
  readonly #done: (arrival: Arrival) => void;

  /** `done` is told when it has arrived, or will not. */
  constructor(done: (arrival: Arrival) => void) {
    this.#done = done;
  }

  run(): void {
    this.isDropped = false;
    this.#done(this);
  }

  drop(): void {
    this.isDropped = true;
    this.#done(this);
  }
}
