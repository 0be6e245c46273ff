// Pairs of stores that differ in a given way, and one conversation between them with its cost.
import type { Conversation, StateEntry, Strategy } from '../../src/state/reconcile/port.ts';
import { Prng } from '../../src/util/prng.ts';
import { RegisterStore } from './register-store.ts';

const WRITERS = 16;
const VALUE_BYTES = 32;
const text = new TextEncoder();

/** How what differs came about. */
export type Shape =
  /** A partition: the last writes of half of the writers reached only one side, those of the others only the other. */
  | 'fresh'
  /** Rumors got lost: writes anywhere in the history, of any writer, reached only one side. */
  | 'spread'
  /** Everything is new to one side. */
  | 'empty';

export interface Pair {
  readonly a: RegisterStore;
  readonly b: RegisterStore;
}

/** Two stores of `size` records by 16 writers, or as many as asked for, and the means to let them differ. */
export class States {
  readonly #size: number;
  readonly #prng: Prng;
  readonly #writers: readonly Sequence[];
  #now = 1_700_000_000_000;
  a = new RegisterStore('a');
  b = new RegisterStore('b');

  constructor(size: number, seed: number, writers = WRITERS) {
    this.#size = size;
    this.#writers = Array.from({ length: writers }, (_, i) => new Sequence(`node-${String(i).padStart(2, '0')}`));
    this.#prng = new Prng(seed);
  }

  /** All records to both, but `lost` of them, evenly spread, to one side only; 'empty' gives b none. */
  fill(shape: Shape, lost = 0): void {
    this.a = new RegisterStore('a');
    this.b = new RegisterStore('b');
    for (const writer of this.#writers) writer.sequence = 0;
    for (let i = 0; i < this.#size; i++) {
      const entry = this.#write(i, i % this.#writers.length);
      const which = Math.floor((i * lost) / this.#size);
      const isLost = shape === 'spread' && which !== Math.floor(((i + 1) * lost) / this.#size);
      const toA = !isLost || which % 2 === 0;
      const toB = shape !== 'empty' && (!isLost || which % 2 === 1);
      if (toA) this.a.apply(this.#now, [entry], []);
      if (toB) this.b.apply(this.#now, [entry], []);
    }
  }

  /** `count` keys, evenly spread, are written anew; each write reaches one side, the writer decides which. */
  diverge(count: number): void {
    for (let i = 0; i < count; i++) {
      const key = Math.floor(((i + this.#prng.unit()) * this.#size) / count);
      const entry = this.#write(key, i % this.#writers.length);
      (i % 2 === 0 ? this.a : this.b).apply(this.#now, [entry], []);
    }
  }

  /** A write that reaches both. */
  writeBoth(key: number): void {
    const entry = this.#write(key, key % this.#writers.length);
    this.a.apply(this.#now, [entry], []);
    this.b.apply(this.#now, [entry], []);
  }

  #write(key: number, writer: number): StateEntry {
    this.#now += 1 + this.#prng.below(20);
    const value = new Uint8Array(VALUE_BYTES);
    this.#prng.fill(value);
    const { name, sequence } = (this.#writers[writer] as Sequence).next();
    return {
      key: text.encode(`service/${String(key).padStart(7, '0')}`),
      writer: name,
      sequence,
      timeMs: this.#now,
      counter: 0,
      kind: 0,
      value,
    };
  }
}

class Sequence {
  readonly name: string;
  sequence = 0;

  constructor(name: string) {
    this.name = name;
  }

  next(): this {
    this.sequence++;
    return this;
  }
}

export interface Cost {
  readonly bytes: number;
  readonly messages: number;
  /** Times that one side waited for the other: messages that follow each other at once count once. */
  readonly turns: number;
  /** Records sent, those that the other side knew already included. */
  readonly entries: number;
  /** Time of both sides together, ms. */
  readonly cpuMs: number;
  /** Of single messages, received and answered, ms, ascending. */
  readonly turnsMs: readonly number[];
  readonly isEqual: boolean;
}

/** Runs one conversation, a opens. */
export function converse(strategy: Strategy, { a, b }: Pair, salt: number, budgetBytes = 65_536): Cost {
  const sides: readonly Conversation[] = [
    strategy.converse(b, { salt, budgetBytes }),
    strategy.converse(a, { salt, budgetBytes }),
  ];
  const turnsMs: number[] = [];
  let bytes = 0;
  let turns = 0;
  let messages = 0;
  const timed = <T>(work: () => T): T => {
    const began = performance.now();
    const result = work();
    turnsMs.push(performance.now() - began);
    return result;
  };
  let turn: Uint8Array[] = [timed(() => (sides[1] as Conversation).begin(0))];
  for (let side = 0; turn.length > 0; side = 1 - side) {
    const receiver = sides[side] as Conversation;
    let reply: Uint8Array | undefined;
    for (const message of turn) {
      bytes += message.length;
      messages++;
      const result = timed(() => receiver.receive(0, message));
      if (result.refused !== undefined) throw new Error(`${strategy.name}: refused: ${result.refused}`);
      reply = result.reply;
    }
    turns++;
    turn = [];
    for (let message = reply; message !== undefined; message = timed(() => receiver.next(0))) turn.push(message);
  }
  const sums = [a, b].map((store) => {
    const sum = { count: 0, low: 0, high: 0 };
    store.index.sum(0, 0, sum);
    return `${sum.count} ${sum.low} ${sum.high}`;
  });
  const entries = sides.reduce((total, { stats }) => total + stats.entriesSent, 0);
  const cpuMs = turnsMs.reduce((total, each) => total + each, 0);
  turnsMs.sort((one, two) => one - two);
  return { bytes, messages, turns, entries, cpuMs, turnsMs, isEqual: sums[0] === sums[1] };
}
