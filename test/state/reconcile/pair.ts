// Two stores and a conversation between them, driven by hand.
import { RegisterStore } from '../../../bench/state/register-store.ts';
import type { Conversation, ConversationOptions, Strategy, Turn } from '../../../src/state/reconcile/port.ts';
import { Prng } from '../../../src/util/prng.ts';

const MESSAGES_MAX = 100_000;

export interface Outcome {
  readonly messages: number;
  readonly bytes: number;
  readonly largest: number;
  readonly opener: Conversation;
  readonly acceptor: Conversation;
  readonly last: Turn;
}

/** Runs one conversation to its end; `between` runs before each message is received. */
export function converse(
  strategy: Strategy,
  opener: RegisterStore,
  acceptor: RegisterStore,
  options: ConversationOptions,
  between: (message: number) => void = () => {},
): Outcome {
  const sides = [strategy.converse(acceptor, options), strategy.converse(opener, options)] as const;
  let message: Uint8Array | undefined = sides[1].begin(0);
  let bytes = 0;
  let largest = 0;
  let last: Turn = { reply: message, isDone: false, refused: undefined };
  let messages = 0;
  for (; message !== undefined; messages++) {
    if (messages > MESSAGES_MAX) throw new Error('the conversation does not end');
    bytes += message.length;
    largest = Math.max(largest, message.length);
    between(messages);
    last = (sides[messages % 2] as Conversation).receive(0, message);
    if (last.refused !== undefined) throw new Error(`refused: ${last.refused}`);
    message = last.reply;
  }
  return { messages, bytes, largest, opener: sides[1], acceptor: sides[0], last };
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
