import type { EngineConfig } from '../protocol/config.ts';
import { suspicionTimeoutMs, transmitLimit } from '../protocol/math.ts';

/** Euler's constant: the harmonic sum 1 + 1/2 + ... + 1/n is about ln n + this. */
const EULER = 0.5772;
/** Bytes of one alive message without its name, and its place in a compound. Measured; only used to predict. */
const ALIVE_BYTES = 58;

export type Pace = Pick<
  EngineConfig,
  'gossipIntervalMs' | 'gossipNodes' | 'retransmitMult' | 'suspicionMult' | 'probeIntervalMs' | 'udpBufferBytes'
>;

/**
 * What the literature says a cluster of n members does at this pace. Members gossip at random phases, so a member that knows the
 * rumor passes it on at a steady rate from then on, and the epidemic is the logistic one: x(t) = n / (1 + (n - 1) e^(-beta t)),
 * beta = fanout (1 - loss) / interval (Demers et al. 1987, Bailey; the same curve as in SWIM §4.1 and Serf's simulator).
 */
export class Theory {
  readonly n: number;
  readonly #pace: Pace;
  readonly #loss: number;

  constructor(n: number, pace: Pace, loss: number) {
    this.n = n;
    this.#pace = pace;
    this.#loss = loss;
  }

  /** Contacts that a knowing member makes per ms. */
  get beta(): number {
    return (this.#pace.gossipNodes * (1 - this.#loss)) / this.#pace.gossipIntervalMs;
  }

  /** Members that know a rumor t ms after its birth, its origin included. */
  reached(ms: number): number {
    return this.n / (1 + (this.n - 1) * Math.exp(-this.beta * ms));
  }

  /** ms until half of the members know. */
  halfMs(): number {
    return Math.log(Math.max(1, this.n - 1)) / this.beta;
  }

  /** ms until the last member knows, expected: sum of the waits for the next one, (n-1) / (beta i (n-i)) each. */
  allMs(): number {
    return (2 * (Math.log(Math.max(1, this.n - 1)) + EULER)) / this.beta;
  }

  /** Times a member sends one piece of news before it lets go. */
  get transmitLimit(): number {
    return transmitLimit(this.#pace.retransmitMult, this.n);
  }

  /** Members that gossip alone misses: each of n x limit sends hits a given member with chance 1/n. */
  missed(): number {
    return (this.n - 1) * Math.exp(-this.transmitLimit * (1 - this.#loss));
  }

  /**
   * ms until all know all when all start at once: each of n news needs ln n + 0.58 sends per member until the last one
   * has it (coupon collector), and a member sends fanout packets of so many news per interval.
   */
  joinMs(nameBytes: number): number {
    const perPacket = Math.floor(this.#pace.udpBufferBytes / (ALIVE_BYTES + nameBytes));
    const newsPerMs = (this.#pace.gossipNodes * perPacket) / this.#pace.gossipIntervalMs;
    const sends = ((Math.log(this.n) + EULER) / (1 - this.#loss)) * this.n;
    return Math.max(this.allMs(), sends / newsPerMs);
  }

  /**
   * ms from a crash to the first suspicion, expected: n - 1 members probe one of n - 1 each per period, so the turn of the crashed one
   * comes after one period on average, and a probe takes a period to fail. (SWIM §2.2 counts e / (e - 1) periods from the start of the
   * period of the crash.) The wait is exponential: a third of all runs wait more than a period longer or less.
   */
  firstSuspicionMs(): number {
    return 2 * this.#pace.probeIntervalMs;
  }

  /** ms from the first suspicion to the first verdict "dead", others confirming in time: the least timeout (Lifeguard, LHA-Suspicion). */
  suspicionMs(): number {
    return suspicionTimeoutMs(this.#pace.suspicionMult, this.n, this.#pace.probeIntervalMs);
  }
}
