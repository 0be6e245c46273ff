import type { GossipEvent } from '../protocol/types.ts';
import { formatAddress } from '../util/address.ts';
import type { HostSink } from './link.ts';

/** One conflict is told again only after this long, ms: the other side repeats its claim with every round of gossip. */
const CONFLICT_QUIET_MS = 30_000;
/** Conflicts remembered; beyond that the oldest is forgotten, and told again. */
const CONFLICTS_MAX = 256;
/** Dropped packets are complained about at most this often, ms. */
const REJECT_QUIET_MS = 10_000;

/** What an operator most likely has to mend when packets are dropped for this reason. */
const LIKELY_CAUSE: Readonly<Record<string, string>> = {
  decryptFailed: 'somebody uses other keys',
  notEncrypted: 'somebody runs without encryption',
  labelMismatch: 'somebody uses another label',
};

/** Tells an operator what is likely misconfigured, in the log, without ever filling it. */
export class Complaints {
  readonly #sink: HostSink;
  readonly #selfName: string;
  readonly #conflicts = new Map<string, number>();
  readonly #counted = new Map<string, number>();
  #nextLookMs = 0;
  /** Somebody else uses our own name. */
  isNameTaken = false;

  constructor(sink: HostSink, selfName: string) {
    this.#sink = sink;
    this.#selfName = selfName;
  }

  /** True when this event is to be reported: everything but repeated conflicts. */
  isNews(event: GossipEvent, nowMs: number): boolean {
    if (event.type !== 'conflict') return true;
    const other = formatAddress(event.other);
    const key = `${event.member.name} ${other}`;
    const toldMs = this.#conflicts.get(key);
    if (toldMs !== undefined && nowMs - toldMs < CONFLICT_QUIET_MS) return false;
    this.#conflicts.delete(key);
    if (this.#conflicts.size >= CONFLICTS_MAX) this.#conflicts.delete(this.#conflicts.keys().next().value as string);
    this.#conflicts.set(key, nowMs);
    if (event.member.name === this.#selfName) {
      this.isNameTaken = true;
      this.#sink.log(
        'error',
        { name: this.#selfName, other },
        'another node uses our name; names must be unique in a cluster',
      );
    }
    return true;
  }

  /** Looks at the counts of dropped packets, not more often than there is a point. */
  look(counts: () => Readonly<Record<string, number>>, nowMs: number): void {
    if (nowMs < this.#nextLookMs) return;
    const rejected = counts();
    this.#nextLookMs = nowMs + REJECT_QUIET_MS;
    for (const [reason, cause] of Object.entries(LIKELY_CAUSE)) {
      const count = rejected[reason] ?? 0;
      const fresh = count - (this.#counted.get(reason) ?? 0);
      this.#counted.set(reason, count);
      if (fresh > 0) this.#sink.log('warn', { reason, dropped: fresh }, `packets or streams were dropped: ${cause}?`);
    }
  }
}
