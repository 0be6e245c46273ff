import { MESSAGE } from '../kernels/contract.ts';
import type { Address } from '../util/address.ts';
import { decodeMessage } from '../wire/decode.ts';
import type { StreamSeal } from '../wire/stream.ts';
import type { PackJob } from '../wire/stream-job.ts';
import type { Context } from './context.ts';
import { TIMER } from './timers.ts';
import type { StreamAnswer, StreamRequest } from './types.ts';

/** What taking a message of an exchange leads to. */
export interface ReplyStep {
  readonly answer: Uint8Array | undefined;
  readonly expectsReply: boolean;
  /** Why the exchange has failed. */
  readonly problem: string | undefined;
}

type Made = Pick<StreamRequest, 'bytes' | 'pack'>;

/** What one exchange is for. */
export interface Exchange {
  readonly to: Address;
  readonly expectsReply: boolean;
  readonly deadlineMs: number;
  /** The plain message, made when the driver is about to send it. */
  readonly message: () => Uint8Array;
  /** Where an answer may be answered in turn: what to write, and whether one more message is expected. finish() follows when there is none. */
  readonly reply?: (nowMs: number, reply: Uint8Array) => ReplyStep;
  /** The (last) answer (empty when none was expected), or undefined and why there is none. */
  readonly finish: (nowMs: number, reply: Uint8Array | undefined, error: string) => void;
}

const NO_BYTES = new Uint8Array(0);
/** How long after its deadline an exchange that the driver never reported on is given up, ms. */
const GRACE_MS = 1000;

/** What is to be written is made when it is first asked for: a connection that is refused costs no state of thousands of members. */
class Request implements StreamRequest {
  readonly id: number;
  readonly to: Address;
  readonly expectsReply: boolean;
  readonly deadlineMs: number;
  readonly #make: () => Made;
  #made: Made | undefined;

  constructor(id: number, { to, expectsReply, deadlineMs }: Exchange, make: () => Made) {
    this.id = id;
    this.to = to;
    this.expectsReply = expectsReply;
    this.deadlineMs = deadlineMs;
    this.#make = make;
  }

  get bytes(): Uint8Array {
    this.#made ??= this.#make();
    return this.#made.bytes;
  }

  get pack(): PackJob | undefined {
    this.#made ??= this.#make();
    return this.#made.pack;
  }
}

/** Stream exchanges that we open: handed to the driver, matched with what it reports, never waited for longer than their deadline. */
export class Streams {
  readonly #context: Context;
  readonly #seal: StreamSeal;
  readonly #open = new Map<number, { exchange: Exchange; token: number }>();
  readonly #waiting: number[] = [];
  #lastId = 0;

  constructor(context: Context, seal: StreamSeal) {
    this.#context = context;
    this.#seal = seal;
  }

  get openCount(): number {
    return this.#open.size;
  }

  start(exchange: Exchange): void {
    const id = ++this.#lastId;
    const token = this.#context.timers.schedule(exchange.deadlineMs + GRACE_MS, TIMER.streamEnd, id);
    this.#open.set(id, { exchange, token });
    this.#waiting.push(id);
  }

  poll(mayDefer: boolean): StreamRequest | undefined {
    for (let id = this.#waiting.shift(); id !== undefined; id = this.#waiting.shift()) {
      const entry = this.#open.get(id);
      if (entry === undefined) continue;
      return new Request(id, entry.exchange, () => {
        const plain = entry.exchange.message();
        const pack = mayDefer ? this.#seal.packJob(plain) : undefined;
        return { bytes: pack ? NO_BYTES : this.#seal.wrap(plain, true), pack };
      });
    }
    return undefined;
  }

  /** The driver's answer to what it sent: what to write now, and whether to read on. */
  reply(nowMs: number, id: number, reply: Uint8Array): StreamAnswer {
    const step = this.#open.get(id)?.exchange.reply?.(nowMs, reply);
    if (step === undefined || !step.expectsReply || step.problem !== undefined) {
      this.finish(nowMs, id, step?.problem === undefined ? reply : undefined, step?.problem ?? '');
    }
    const bytes = step?.answer === undefined ? NO_BYTES : this.#seal.wrap(step.answer, true);
    return { bytes, more: step?.expectsReply === true && step.problem === undefined };
  }

  finish(nowMs: number, id: number, reply: Uint8Array | undefined, error: string): void {
    const entry = this.#open.get(id);
    if (entry === undefined) {
      this.#context.stats.streamRepliesUnknown++;
      return;
    }
    this.#open.delete(id);
    this.#context.timers.cancel(entry.token);
    entry.exchange.finish(nowMs, reply, error);
  }
}

/** The sequence number of an ack that came over a stream; undefined when the message is no ack. */
export function ackSeqNo(message: Uint8Array): number | undefined {
  if (message[0] !== MESSAGE.ack) return undefined;
  const decoded = decodeMessage(message);
  return typeof decoded === 'object' && decoded.type === 'ack' ? decoded.seqNo : undefined;
}
