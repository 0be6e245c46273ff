// Two stores and a conversation between them, driven by hand.
import { RegisterStore } from '../../../bench/state/register-store.ts';
import type { Conversation, ConversationOptions, Strategy } from '../../../src/state/reconcile/port.ts';
import { Prng } from '../../../src/util/prng.ts';

const MESSAGES_MAX = 100_000;

export interface Outcome {
  readonly messages: number;
  /** Times that one side spoke. */
  readonly turns: number;
  readonly bytes: number;
  readonly largest: number;
  readonly opener: Conversation;
  readonly acceptor: Conversation;
}

/** A message on its way. */
export interface Delivery {
  readonly receiver: Conversation;
  readonly store: RegisterStore;
  readonly message: Uint8Array;
}

/** Runs one conversation step by step: yields each message before it is received. */
export function* deliveries(
  strategy: Strategy,
  opener: RegisterStore,
  acceptor: RegisterStore,
  options: ConversationOptions,
): Generator<Delivery, Outcome, void> {
  const stores = [acceptor, opener] as const;
  const sides = [strategy.converse(acceptor, options), strategy.converse(opener, options)] as const;
  let turn: Uint8Array[] = [sides[1].begin(0)];
  const outcome = { messages: 0, turns: 0, bytes: 0, largest: 0, opener: sides[1], acceptor: sides[0] };
  for (let side = 0; turn.length > 0; side = 1 - side) {
    const receiver = sides[side] as Conversation;
    let reply: Uint8Array | undefined;
    outcome.turns++;
    for (const message of turn) {
      if (outcome.messages++ > MESSAGES_MAX) throw new Error('the conversation does not end');
      if (reply !== undefined) throw new Error('an answer before the turn was over');
      outcome.bytes += message.length;
      outcome.largest = Math.max(outcome.largest, message.length);
      yield { receiver, store: stores[side] as RegisterStore, message };
      const result = receiver.receive(0, message);
      if (result.refused !== undefined) throw new Error(`refused: ${result.refused}`);
      reply = result.reply;
    }
    turn = [];
    for (let message = reply; message !== undefined; message = receiver.next(0)) turn.push(message);
  }
  return outcome;
}

/** Runs one conversation to its end; `between` runs before each message is received. */
export function converse(
  strategy: Strategy,
  opener: RegisterStore,
  acceptor: RegisterStore,
  options: ConversationOptions,
  between: (delivery: Delivery) => void = () => {},
): Outcome {
  const steps = deliveries(strategy, opener, acceptor, options);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    between(step.value);
  }
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Two stores that share a part of what `steps` random writes of three writers made. */
export function randomPair(
  seed: number,
  steps: number,
): { readonly a: RegisterStore; readonly b: RegisterStore; readonly prng: Prng } {
  const prng = new Prng(seed);
  const a = new RegisterStore('a');
  const b = new RegisterStore('b');
  const c = new RegisterStore('c');
  const share = prng.below(3);
  for (let i = 1; i <= steps; i++) {
    const store = [a, b, c][prng.below(3)] as RegisterStore;
    const entry = randomWrite(store, prng, i);
    // Rumors: each may reach the others or get lost. A share of 0 loses most, of 2 few.
    for (const other of [a, b]) if (prng.below(4) <= share) other.apply(i, [entry], []);
  }
  return { a, b, prng };
}

export function randomWrite(store: RegisterStore, prng: Prng, timeMs: number) {
  const key = bytes(`key-${prng.below(60)}`);
  const isDelete = prng.below(5) === 0;
  const value = new Uint8Array(isDelete ? 0 : prng.below(prng.below(10) === 0 ? 900 : 20));
  prng.fill(value);
  return store.write(key, value, timeMs + prng.below(3), isDelete ? 1 : 0);
}
