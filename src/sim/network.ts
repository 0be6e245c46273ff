import { Prng } from '../util/prng.ts';

/** One-way delay of a hop, ms. */
export type LatencyModel =
  /** The same for all. */
  | { readonly kind: 'fixed'; readonly ms: number }
  /** A floor plus an exponential tail: what a quiet LAN (0.2 + 0.3) or a WAN (20 + 10) looks like. */
  | { readonly kind: 'exponential'; readonly floorMs: number; readonly meanTailMs: number }
  /** One of these, each as likely: measured round trips, halved. */
  | { readonly kind: 'measured'; readonly ms: readonly number[] };

export const LATENCY = {
  lan: { kind: 'exponential', floorMs: 0.2, meanTailMs: 0.3 },
  wan: { kind: 'exponential', floorMs: 20, meanTailMs: 10 },
} as const satisfies Record<string, LatencyModel>;

export interface NetworkOptions {
  /** Default LATENCY.lan. */
  readonly latency: LatencyModel;
  /** Share of packets that are lost, 0 to 1. Streams repair losses by themselves. Default 0. */
  readonly loss: number;
  /** Share of packets that arrive twice. Default 0. */
  readonly duplication: number;
  /** Share of packets that are held up long enough to be overtaken. Default 0. */
  readonly reordering: number;
  /** Longest packet that passes, bytes; longer ones are lost, as with "don't fragment". Default 65507. */
  readonly mtuBytes: number;
  /** Streams that break half-way, share. Default 0. */
  readonly brokenStreams: number;
  /** What a node can send, bytes per ms; packets wait for those before them. 0 = without limit, the default. */
  readonly bandwidth: number;
  /** Bytes that wait in front of a node's link, with `bandwidth`; a packet that finds more is lost. Default 262,144. */
  readonly queueBytes: number;
}

export const NETWORK_DEFAULTS: NetworkOptions = {
  latency: LATENCY.lan,
  loss: 0,
  duplication: 0,
  reordering: 0,
  mtuBytes: 65507,
  brokenStreams: 0,
  bandwidth: 0,
  queueBytes: 262_144,
};

/** IP and UDP headers, which a link carries too. */
const HEADER_BYTES = 28;

/** A packet, or the opening of a stream, about to travel. */
export interface Hop {
  /** Names of the nodes. */
  readonly from: string;
  readonly to: string;
  readonly kind: 'packet' | 'stream';
  readonly lengthBytes: number;
  readonly nowMs: number;
}

/** What becomes of a hop: it passes as the network would have it, is lost, or takes this long. */
export type Verdict = 'pass' | 'drop' | { readonly delayMs: number };

/** Decides, or leaves it to the next rule (undefined). Draws from `random` only, so that a run repeats. */
export type Rule = (hop: Hop, random: Prng) => Verdict | undefined;

/** Reordered packets take up to this many times the usual delay. */
const REORDER_FACTOR = 10;

/** The network between simulated nodes. Rules are asked in the order of their adding; the first answer counts. */
export class Network {
  options: NetworkOptions;
  /** See route(). */
  secondMs = -1;
  readonly #rules = new Set<Rule>();
  /** When the link of a node has sent all that waits there, ms. */
  readonly #freeMs = new Map<string, number>();
  readonly #random: Prng;

  constructor(options: NetworkOptions, seed: number) {
    this.options = options;
    this.#random = new Prng(seed);
  }

  /** Adds a rule; the returned function takes it away. */
  add(rule: Rule): () => void {
    this.#rules.add(rule);
    return () => {
      this.#rules.delete(rule);
    };
  }

  /** Takes all rules away: whole again, but for the options. */
  clear(): void {
    this.#rules.clear();
  }

  /**
   * Delay after which a hop arrives, ms, -1 when it is lost; when it arrives twice, `secondMs` says when it does so again, else it is -1. Every call
   * makes the same number of draws whatever the rules say, so that a rule does not shift the luck of later hops.
   */
  route(from: string, to: string, kind: Hop['kind'], lengthBytes: number, nowMs: number): number {
    const { loss, duplication, reordering, mtuBytes } = this.options;
    const random = this.#random;
    const isPacket = kind === 'packet';
    const isLost = random.unit() < loss && isPacket;
    const isDouble = random.unit() < duplication && isPacket;
    const isLate = random.unit() < reordering && isPacket;
    let delayMs = this.#latencyMs(random.unit());
    const second = random.unit();
    if (isLate) delayMs += this.#latencyMs(second) * REORDER_FACTOR;
    this.secondMs = -1;
    if (this.options.bandwidth > 0) {
      const waitMs = this.#queue(from, lengthBytes + HEADER_BYTES, nowMs, isPacket);
      if (waitMs < 0) return -1;
      delayMs += waitMs;
    }
    if (this.#rules.size > 0) {
      const hop: Hop = { from, to, kind, lengthBytes, nowMs };
      for (const rule of this.#rules) {
        const verdict = rule(hop, random);
        if (verdict === undefined) continue;
        if (verdict === 'drop') return -1;
        return verdict === 'pass' ? delayMs : verdict.delayMs;
      }
    }
    if (isLost || (isPacket && lengthBytes > mtuBytes)) return -1;
    if (isDouble) this.secondMs = delayMs + this.#latencyMs(second);
    return delayMs;
  }

  /** How long `bytes` take to leave a node, behind those that wait there; -1 when there is no room. Streams wait for room, packets do not. */
  #queue(from: string, bytes: number, nowMs: number, mayDrop: boolean): number {
    const { bandwidth, queueBytes } = this.options;
    const startMs = Math.max(nowMs, this.#freeMs.get(from) ?? 0);
    if (mayDrop && (startMs - nowMs) * bandwidth > queueBytes) return -1;
    const endMs = startMs + bytes / bandwidth;
    this.#freeMs.set(from, endMs);
    return endMs - nowMs;
  }

  /** True when the stream that is about to answer breaks half-way. */
  breaksStream(): boolean {
    return this.#random.unit() < this.options.brokenStreams;
  }

  /** `unit` is the draw. */
  #latencyMs(unit: number): number {
    const { latency } = this.options;
    switch (latency.kind) {
      case 'fixed':
        return latency.ms;
      case 'exponential':
        return latency.floorMs - latency.meanTailMs * Math.log(1 - unit);
      case 'measured':
        return latency.ms[Math.floor(unit * latency.ms.length)] ?? 0;
    }
  }
}

// Rules

/** Nothing passes between the two sides, in either direction; streams neither. */
export function partition(left: Iterable<string>, right: Iterable<string>): Rule {
  const a = new Set(left);
  const b = new Set(right);
  return ({ from, to }) => ((a.has(from) && b.has(to)) || (b.has(from) && a.has(to)) ? 'drop' : undefined);
}

/** Nothing of what `from` sends reaches `to`; the other direction works. */
export function oneWay(from: Iterable<string>, to: Iterable<string>): Rule {
  const senders = new Set(from);
  const receivers = new Set(to);
  return (hop) => (senders.has(hop.from) && receivers.has(hop.to) ? 'drop' : undefined);
}

/** Loses this share of the packets to and from these nodes, on top of the network's own loss. */
export function lossAt(nodes: Iterable<string>, ratio: number): Rule {
  const affected = new Set(nodes);
  return ({ from, to, kind }, random) =>
    kind === 'packet' && (affected.has(from) || affected.has(to)) && random.unit() < ratio ? 'drop' : undefined;
}

/** Everything towards these nodes is lost for `offMs`, passes for `onMs`, is lost again (Rapid's flip-flop, one way). */
export function flipFlop(nodes: Iterable<string>, offMs: number, onMs: number): Rule {
  const affected = new Set(nodes);
  return ({ to, nowMs }) => (affected.has(to) && nowMs % (offMs + onMs) < offMs ? 'drop' : undefined);
}

/** Everything to and from these nodes takes `extraMs` longer than the floor of a slow link. */
export function slow(nodes: Iterable<string>, extraMs: number): Rule {
  const affected = new Set(nodes);
  return ({ from, to }) => (affected.has(from) || affected.has(to) ? { delayMs: extraMs } : undefined);
}
