// Damaged messages in the middle of real conversations: what `make fuzz` runs by the hundred thousand and a test by the thousand.
import { RegisterStore } from '../../../bench/state/register-store.ts';
import type { Conversation, Refused } from '../../../src/state/reconcile/port.ts';
import { STRATEGIES } from '../../../src/state/reconcile/strategies.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { Prng } from '../../../src/util/prng.ts';
import { converse, deliveries, randomWrite } from './pair.ts';

const BUDGET_BYTES = 1200;
/** Conversations until the stores are made anew, so that what slips in does not pile up. */
const STORES_LAST = 64;
const RECORDS = 80;

/** A broken promise. */
export class Broken extends Error {
  readonly input: Uint8Array;

  constructor(what: string, input: Uint8Array) {
    super(`${what}\n  input: ${toHex(input)}`);
    this.input = input;
  }
}

/**
 * Feeds conversations of every strategy with messages that were damaged on the way. Nothing throws; a refused message leaves the store as it was and is not answered;
 * an answer keeps to its budget; the conversation is over afterwards. And when all is over, the two stores still become the same.
 */
export class HostileConversations {
  readonly #prng: Prng;
  #a = new RegisterStore('a');
  #b = new RegisterStore('b');
  #uses = STORES_LAST;

  constructor(seed: number) {
    this.#prng = new Prng(seed);
  }

  /** One damaged message. Returns why it was refused, undefined when it was taken. */
  run(): { readonly refused: Refused | undefined; readonly input: Uint8Array } {
    const prng = this.#prng;
    if (this.#uses++ >= STORES_LAST) this.#renew();
    const strategy = STRATEGIES[prng.below(STRATEGIES.length)] as (typeof STRATEGIES)[0];
    for (const store of [this.#a, this.#b]) randomWrite(store, prng, 1000 + this.#uses);
    let at = prng.below(7);
    let input: Uint8Array = new Uint8Array(0);
    let refused: Refused | undefined;
    for (const { receiver, store, message } of deliveries(strategy, this.#a, this.#b, {
      salt: prng.next(),
      budgetBytes: BUDGET_BYTES,
    })) {
      input = message.slice();
      if (at-- > 0) continue;
      input = this.#damaged(message);
      refused = this.#feed(receiver, store, input);
      break;
    }
    return { refused, input };
  }

  #feed(receiver: Conversation, store: RegisterStore, input: Uint8Array): Refused | undefined {
    const before = stateOf(store);
    let turn: ReturnType<Conversation['receive']>;
    try {
      turn = receiver.receive(0, input);
      for (let next = turn.reply; next !== undefined; next = receiver.next(0)) {
        // Its own records are small, and a tree of 1,024 children takes 8 KiB.
        if (next.length > 10_000) throw new Broken(`an answer of ${next.length} bytes`, input);
      }
    } catch (error) {
      if (error instanceof Broken) throw error;
      throw new Broken(`thrown: ${error instanceof Error ? error.stack : error}`, input);
    }
    if (turn.refused !== undefined) {
      if (turn.reply !== undefined || turn.isDone) throw new Broken('a refused message was answered', input);
      if (stateOf(store) !== before) throw new Broken('a refused message changed the store', input);
      if (receiver.receive(0, input).refused === undefined) throw new Broken('the conversation went on', input);
    }
    return turn.refused;
  }

  #renew(): void {
    const prng = this.#prng;
    if (this.#a.size > 0) {
      // Whatever was believed of the damaged messages: comparing everything still makes both the same.
      for (let i = 0; i < 2; i++)
        converse(STRATEGIES[1] as (typeof STRATEGIES)[0], this.#a, this.#b, { salt: prng.next() });
      if (this.#a.dump().join('\n') !== this.#b.dump().join('\n'))
        throw new Broken('the stores stay different', new Uint8Array(0));
    }
    this.#uses = 0;
    this.#a = new RegisterStore('a');
    this.#b = new RegisterStore('b');
    for (let i = 0; i < RECORDS; i++) {
      const entry = randomWrite(prng.below(2) === 0 ? this.#a : this.#b, prng, i);
      if (prng.below(3) > 0) for (const store of [this.#a, this.#b]) store.apply(i, [entry], []);
    }
  }

  /** Bits flipped, bytes replaced, cut out, doubled or put in, or the end cut off: up to four times. */
  #damaged(message: Uint8Array): Uint8Array {
    const prng = this.#prng;
    let bytes = message.slice();
    for (let times = 1 + prng.below(4); times > 0; times--) {
      const at = prng.below(Math.max(1, bytes.length));
      const kind = prng.below(6);
      if (kind === 0) bytes = bytes.slice(0, at);
      else if (kind === 1) bytes[at] = (bytes[at] ?? 0) ^ (1 << prng.below(8));
      else if (kind === 2) bytes[at] = [0, 1, 127, 128, 255][prng.below(5)] as number;
      else {
        const end = Math.min(bytes.length, at + 1 + prng.below(12));
        const piece = kind === 3 ? new Uint8Array(0) : kind === 4 ? bytes.slice(at, end) : new Uint8Array(9).fill(255);
        const rest = bytes.slice(kind === 5 ? at : end);
        const changed = new Uint8Array(at + piece.length * (kind === 4 ? 2 : 1) + rest.length);
        changed.set(bytes.subarray(0, at));
        changed.set(piece, at);
        if (kind === 4) changed.set(piece, at + piece.length);
        changed.set(rest, changed.length - rest.length);
        bytes = changed;
      }
    }
    return bytes;
  }
}

function stateOf(store: RegisterStore): string {
  const sum = { count: 0, low: 0, high: 0 };
  store.index.sum(0, 0, sum);
  return JSON.stringify([sum, store.log.sum, store.log.writers]);
}
