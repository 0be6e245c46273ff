import { STATUS } from '../kernels/contract.ts';
import type { Peer } from './replica.ts';

/** What is needed of a member. */
interface MemberLike {
  readonly name: string;
  readonly status: number;
  readonly replicates: boolean;
}

/** Turns the members of a cluster into those that maps deal with, and remembers since when some are gone. */
export class PeerTracker {
  #goneSince = new Map<string, number>();

  of(nowMs: number, members: readonly MemberLike[]): Peer[] {
    const goneSince = new Map<string, number>();
    const peers: Peer[] = [];
    for (const { name, status, replicates } of members) {
      const isLive = status === STATUS.alive || status === STATUS.suspect;
      if (isLive && !replicates) continue;
      const goneSinceMs = isLive ? 0 : (this.#goneSince.get(name) ?? nowMs);
      if (!isLive) goneSince.set(name, goneSinceMs);
      peers.push({ name, isLive, goneSinceMs });
    }
    this.#goneSince = goneSince;
    return peers;
  }
}
