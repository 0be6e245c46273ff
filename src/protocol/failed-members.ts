import { STATUS } from '../kernels/contract.ts';
import type { Address } from '../util/address.ts';
import type { Prng } from '../util/prng.ts';
import type { GossipEvent } from './types.ts';

/** How long a failed member is remembered as somebody to reach again, ms (Serf's reconnect timeout). */
const REMEMBER_MS = 24 * 3600 * 1000;
const REMEMBER_COUNT_MAX = 1024;

/**
 * Partition memory. memberlist forgets a dead member after a while and never looks for it again, so that two halves of a cluster that were apart for longer
 * stay apart for ever. A driver keeps this, fed with the events of its engine, and now and then joins one of those who failed.
 */
export class FailedMembers {
  /** By name, oldest first. */
  readonly #failed = new Map<string, { readonly address: Address; readonly atMs: number }>();

  get size(): number {
    return this.#failed.size;
  }

  /** Follows who is there and who failed; who left on purpose is not looked for. */
  notice(event: GossipEvent, nowMs: number): void {
    if (event.type !== 'join' && event.type !== 'dead' && event.type !== 'leave') return;
    const { name, address, status } = event.member;
    this.#failed.delete(name);
    if (event.type !== 'dead' || status !== STATUS.dead) return;
    if (this.#failed.size >= REMEMBER_COUNT_MAX) this.#failed.delete(this.#failed.keys().next().value as string);
    this.#failed.set(name, { address, atMs: nowMs });
  }

  /**
   * Address of one of them, each as likely; undefined when there is none, or when it is the turn of others: of `alive` members as many try as have failed, so that what all do
   * together does not grow with the cluster (Serf does so too).
   */
  pick(prng: Prng, nowMs: number, alive: number): Address | undefined {
    for (const [name, { atMs }] of this.#failed) if (nowMs - atMs > REMEMBER_MS) this.#failed.delete(name);
    const failed = [...this.#failed.values()];
    if (prng.unit() * alive >= failed.length) return undefined;
    return failed[prng.below(Math.max(1, failed.length))]?.address;
  }
}

/** Pause before the next attempt, ms: spread over half an interval, so that both halves of a healed partition do not knock at once. */
export function rejoinPauseMs(intervalMs: number, prng: Prng): number {
  return intervalMs * (0.75 + prng.unit() / 2);
}
