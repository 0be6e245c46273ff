import { performance } from 'node:perf_hooks';
import { FailedMembers, rejoinPauseMs } from '../protocol/failed-members.ts';
import type { GossipEvent } from '../protocol/types.ts';
import type { Address } from '../util/address.ts';
import { Prng } from '../util/prng.ts';
import type { HostSink } from './link.ts';
import type { HostSettings } from './options.ts';

/** First pause after a failed first join, ms; doubles up to the rejoin interval. */
const RETRY_FIRST_MS = 1000;

/**
 * Keeps trying to reach those who are missing (FailedMembers), slowly: seeds until the first join worked, afterwards one
 * random member that failed (or a seed, when none did and we are alone) per interval.
 */
export class Rejoiner {
  readonly #settings: HostSettings;
  readonly #resolveSeeds: () => Promise<readonly Address[]>;
  readonly #join: (addresses: readonly Address[]) => Promise<number>;
  readonly #sink: HostSink;
  readonly #failed = new FailedMembers();
  readonly #present = new Set<string>();
  readonly #prng: Prng;
  #timer: NodeJS.Timeout | undefined;
  #hasJoined = false;
  #pauseMs = RETRY_FIRST_MS;
  #stopped = false;

  /** `resolveSeeds` answers all addresses of all seeds but our own; neither function rejects. */
  constructor(
    settings: HostSettings,
    resolveSeeds: () => Promise<readonly Address[]>,
    join: (addresses: readonly Address[]) => Promise<number>,
    sink: HostSink,
  ) {
    this.#settings = settings;
    this.#resolveSeeds = resolveSeeds;
    this.#join = join;
    this.#sink = sink;
    this.#prng = new Prng(settings.rngSeed);
  }

  start(hasJoined: boolean): void {
    this.#hasJoined = hasJoined;
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Follows who is there and who failed. */
  notice(event: GossipEvent): void {
    if (event.type === 'join') this.#present.add(event.member.name);
    else if (event.type === 'dead' || event.type === 'leave') this.#present.delete(event.member.name);
    this.#failed.notice(event, performance.now());
  }

  #schedule(): void {
    const { rejoinIntervalMs, unref } = this.#settings;
    if (this.#stopped || rejoinIntervalMs === 0) return;
    const pauseMs = this.#hasJoined ? rejoinIntervalMs : Math.min(this.#pauseMs, rejoinIntervalMs);
    this.#pauseMs *= 2;
    this.#timer = setTimeout(() => void this.#attempt(), rejoinPauseMs(pauseMs, this.#prng));
    if (unref) this.#timer.unref();
  }

  async #attempt(): Promise<void> {
    const addresses = await this.#candidates();
    if (addresses.length > 0 && !this.#stopped) {
      const joined = await this.#join(addresses);
      if (joined > 0 && !this.#hasJoined) this.#sink.log('info', { joined }, 'joined through a seed');
      this.#hasJoined ||= joined > 0;
    }
    this.#schedule();
  }

  async #candidates(): Promise<readonly Address[]> {
    const isAlone = this.#present.size <= 1;
    if (!this.#hasJoined || (isAlone && this.#failed.size === 0)) return this.#resolveSeeds();
    const one = this.#failed.pick(this.#prng, performance.now(), this.#present.size);
    return one ? [one] : [];
  }
}
