import type { Address } from '../util/address.ts';
import { HearsayError } from '../util/errors.ts';
import { Prng } from '../util/prng.ts';
import type { StreamConnection, Transport, TransportHandlers, TransportStats } from './transport.ts';

/** One thing that is about to travel. */
export interface Passage {
  readonly from: Address;
  readonly to: Address;
  /** 'stream' stands for opening one; bytes on an open stream are not touched (TCP repairs losses by itself). */
  readonly kind: 'packet' | 'stream';
}

/** What becomes of it. Dropping a stream means that the connection never comes about: a timeout, as in a real partition. */
export type Verdict = 'pass' | 'drop' | { readonly delayMs: number };

/** Decides, or leaves it to the next rule (undefined). */
export type FaultRule = (passage: Passage, random: Prng) => Verdict | undefined;

/** Loses this share of all packets, 0 to 1. */
export function loss(ratio: number): FaultRule {
  return (passage, random) => (passage.kind === 'packet' && random.unit() < ratio ? 'drop' : undefined);
}

/** Nothing passes between those for whom `isInside` is true and the others, in either direction. */
export function partition(isInside: (address: Address) => boolean): FaultRule {
  return (passage) => (isInside(passage.from) !== isInside(passage.to) ? 'drop' : undefined);
}

/** Delays packets by a uniform time of [minMs, maxMs): slow and, when they differ, reordered. */
export function delay(minMs: number, maxMs: number): FaultRule {
  return (passage, random) =>
    passage.kind === 'packet' ? { delayMs: minMs + random.unit() * (maxMs - minMs) } : undefined;
}

/**
 * A bad network between real sockets, for demonstrations and tests: the rules that all FaultyTransports of one network share. The
 * sender's side decides, once per packet, so a loss of 10 % is 10 %, not 19 %. Only what our own nodes send is touched; acks of
 * somebody else's process arrive. Choices come from one seeded generator; the moment of each packet is real, so a run does not
 * repeat exactly (the simulator does).
 */
export class FaultyNetwork {
  /** Passages that were dropped. */
  dropped = 0;
  readonly #rules = new Set<FaultRule>();
  readonly #random: Prng;

  constructor(rngSeed: number) {
    this.#random = new Prng(rngSeed);
  }

  /** Adds a rule, asked after those before it; the function that is returned takes it away. */
  add(rule: FaultRule): () => void {
    this.#rules.add(rule);
    return () => {
      this.#rules.delete(rule);
    };
  }

  decide(passage: Passage): Verdict {
    for (const rule of this.#rules) {
      const verdict = rule(passage, this.#random);
      if (verdict === undefined) continue;
      if (verdict === 'drop') this.dropped++;
      return verdict;
    }
    return 'pass';
  }
}

/** Another transport behind a FaultyNetwork. */
export class FaultyTransport implements Transport {
  readonly #inner: Transport;
  readonly #network: FaultyNetwork;
  #self: Address | undefined;
  /** Delayed packets and streams that are not to be. */
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Ends the streams that are not open yet when the transport is closed. */
  readonly #connecting = new Set<(error: Error) => void>();
  #closed = false;

  constructor(inner: Transport, network: FaultyNetwork) {
    this.#inner = inner;
    this.#network = network;
  }

  get stats(): TransportStats {
    return this.#inner.stats;
  }

  async start(handlers: TransportHandlers): Promise<Address> {
    this.#self = await this.#inner.start(handlers);
    return this.#self;
  }

  send(to: Address, bytes: Uint8Array): void {
    const verdict = this.#decide(to, 'packet');
    if (verdict === 'pass') this.#inner.send(to, bytes);
    else if (verdict !== 'drop') {
      const copy = bytes.slice();
      this.#after(verdict.delayMs, () => {
        this.#inner.send(to, copy);
        this.#inner.flush();
      });
    }
  }

  flush(): void {
    this.#inner.flush();
  }

  connect(to: Address, timeoutMs: number): Promise<StreamConnection> {
    const verdict = this.#decide(to, 'stream');
    if (verdict === 'pass') return this.#inner.connect(to, timeoutMs);
    if (this.#closed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      this.#connecting.add(reject);
      const when = (ms: number, action: () => void): void =>
        this.#after(ms, () => {
          this.#connecting.delete(reject);
          action();
        });
      if (verdict === 'drop') {
        const error = new HearsayError('ERR_STREAM_TIMEOUT', `no stream within ${timeoutMs} ms (injected fault)`);
        when(timeoutMs, () => reject(error));
      } else {
        when(verdict.delayMs, () => this.#inner.connect(to, timeoutMs).then(resolve, reject));
      }
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    for (const reject of this.#connecting) reject(closedError());
    this.#connecting.clear();
    await this.#inner.close();
  }

  #decide(to: Address, kind: Passage['kind']): Verdict {
    return this.#self === undefined ? 'pass' : this.#network.decide({ from: this.#self, to, kind });
  }

  #after(ms: number, action: () => void): void {
    if (this.#closed) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    // What was delayed must not keep a process alive that has closed everything else.
    timer.unref();
    this.#timers.add(timer);
  }
}

function closedError(): HearsayError {
  return new HearsayError('ERR_STREAM_FAILED', 'the transport is closed');
}
