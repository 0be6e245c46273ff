import { EXT, type PacketCodec, PICK } from '../kernels/contract.ts';
import { RECORD } from '../kernels/layout.ts';
import type { Address } from '../util/address.ts';
import { AVERAGE_BYTES, AVERAGE_ID_BYTES, AVERAGE_KIND, encodeAverage, parseAverage } from '../wire/average.ts';
import type { Context } from './context.ts';
import { viewOf } from './dissemination.ts';
import type { Outbox } from './outbox.ts';
import { SEND } from './outbox.ts';
import { countReject } from './stats.ts';
import { TIMER } from './timers.ts';

/** Averagings that a node takes part in at once; further ones are refused and counted, so that nobody can fill our memory. */
export const AVERAGINGS_MAX = 16;
/** Members drawn in search of one that can answer. */
const DRAWS = 3;
/** Largest number of cycles: it travels in one byte. */
export const CYCLES_MAX = 255;

interface Averaging {
  readonly id: Uint8Array;
  value: number;
  cycles: number;
  /** The command that started it here; 0 = somebody else did. */
  readonly request: number;
}

/**
 * Push-pull averaging, and by it the size of the network without counting it (Jelasity, Montresor, Babaoglu 2005, COUNT): whoever asks starts with 1, everybody else, on
 * hearing of it, with 0. Each cycle (gossipIntervalMs) each takes one random other and both go on with the mean of their values. The sum stays 1, the variance falls by
 * 1/(2 sqrt e) = 0.303 per cycle, so in the end all hold 1 / size.
 *
 * The sum is kept although exchanges overlap: the answerer says by how much it rose, and the asker falls by that, whatever its value is by then. A lost push
 * costs nothing; a lost answer leaves the sum wrong by that difference, so loss makes the estimate noisier (docs/protocol.md §22 has figures).
 */
export class Averagings {
  readonly #context: Context;
  readonly #outbox: Outbox;
  readonly #done: (request: number, ok: boolean, detail: string) => void;
  readonly #running = new Map<string, Averaging>();
  #tickToken = 0;

  /** `done` hears how a command ended: the estimate as text. */
  constructor(context: Context, outbox: Outbox, done: (request: number, ok: boolean, detail: string) => void) {
    this.#context = context;
    this.#outbox = outbox;
    this.#done = done;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Starts one over so many cycles, reported as done under `request`. */
  start(nowMs: number, cycles: number, request: number): void {
    const { prng, self } = this.#context;
    if ((self.ext & EXT.averaging) === 0) {
      this.#done(request, false, 'needs extensions');
      return;
    }
    if (this.#running.size >= AVERAGINGS_MAX) {
      this.#done(request, false, `${AVERAGINGS_MAX} averagings are under way`);
      return;
    }
    const id = new Uint8Array(AVERAGE_ID_BYTES);
    prng.fill(id);
    this.#running.set(keyOf(id), { id, value: 1, cycles, request });
    this.#schedule(nowMs);
  }

  /** A cycle of all that are running. */
  tick(nowMs: number): void {
    this.#tickToken = 0;
    for (const [key, averaging] of this.#running) {
      if (averaging.cycles > 0) {
        averaging.cycles--;
        this.#push(nowMs, averaging);
        continue;
      }
      this.#running.delete(key);
      // A value of 0 heard of nothing yet; only who started it is asked.
      if (averaging.request !== 0) this.#done(averaging.request, true, String(1 / averaging.value));
    }
    if (this.#running.size > 0) this.#schedule(nowMs);
  }

  /** Somebody's half of an exchange. */
  take(nowMs: number, codec: PacketCodec, record: number, from: Address): void {
    const { self, stats } = this.#context;
    const message = parseAverage(viewOf(codec, codec.recordsOffset + record * RECORD.stride + RECORD.dataOffset));
    if (typeof message === 'number') {
      countReject(stats, message);
      return;
    }
    // To who cannot say that it takes part nobody sends this.
    if ((self.ext & EXT.averaging) === 0) return;
    stats.averagesReceived++;
    const key = keyOf(message.id);
    let averaging = this.#running.get(key);
    if (message.kind === AVERAGE_KIND.answer) {
      if (averaging !== undefined) averaging.value -= message.value;
      return;
    }
    if (averaging === undefined) {
      if (this.#running.size >= AVERAGINGS_MAX) {
        stats.averagesRefused++;
        return;
      }
      averaging = { id: message.id.slice(), value: 0, cycles: message.cycles, request: 0 };
      this.#running.set(key, averaging);
      this.#schedule(nowMs);
    }
    const rise = (message.value - averaging.value) / 2;
    averaging.value += rise;
    this.#send(from, { kind: AVERAGE_KIND.answer, id: averaging.id, cycles: averaging.cycles, value: rise });
  }

  #push(nowMs: number, { id, cycles, value }: Averaging): void {
    const { kernels, roster } = this.#context;
    const { table } = kernels;
    const picked = table.sample(nowMs, DRAWS, PICK.alive, 0, -1);
    for (let i = 0; i < picked; i++) {
      const slot = table.u32[(table.picksOffset >>> 2) + i] as number;
      if ((roster.ext(slot) & EXT.averaging) === 0 || !roster.hasAddress(slot)) continue;
      // Rounding may take a value a hair beyond its range.
      const sent = Math.min(1, Math.max(0, value));
      this.#send(roster.address(slot), { kind: AVERAGE_KIND.push, id, cycles, value: sent });
      return;
    }
  }

  #send(to: Address, message: Parameters<typeof encodeAverage>[2]): void {
    this.#outbox.reserve(AVERAGE_BYTES);
    const end = encodeAverage(this.#outbox.bytes, this.#outbox.top, message);
    this.#outbox.commit(end, to, SEND.piggyback | SEND.extended);
  }

  #schedule(nowMs: number): void {
    if (this.#tickToken !== 0) return;
    const { config, timers } = this.#context;
    this.#tickToken = timers.schedule(nowMs + config.gossipIntervalMs, TIMER.averageTick, 0);
  }
}

function keyOf(id: Uint8Array): string {
  return String.fromCharCode(...id);
}
