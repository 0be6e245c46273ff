import { STATUS, type Status } from '../kernels/contract.ts';
import type { MemberInfo } from '../protocol/types.ts';
import { formatAddress, socketHost } from '../util/address.ts';

export type MemberStatus = 'alive' | 'suspect' | 'dead' | 'left';

/**
 * One member of the cluster as this node sees it, at the moment it was read. A frozen plain value: it can be logged,
 * cloned to another thread and kept; later changes do not show in it.
 */
export interface Member {
  readonly name: string;
  /** `ip:port`, `[ipv6]:port`: where its gossip is reached. */
  readonly address: string;
  /** The IP alone, in the form sockets want. */
  readonly host: string;
  readonly port: number;
  readonly status: MemberStatus;
  /** Raised only by the member itself. */
  readonly incarnation: number;
  /** What the member says about itself, at most 512 bytes. */
  readonly meta: Uint8Array;
  /**
   * Its process answers probes but its application thread does not run (a blocked event loop). Not a suspicion: the
   * process is up. Only hearsay members can say so of themselves; false for others.
   */
  readonly stalled: boolean;
  /** A hearsay node (understands more than memberlist's wire). */
  readonly extended: boolean;
  /** Protocol min, max, current, delegate min, max, current (protocol §16). */
  readonly versions: readonly number[];
  /** This node itself. */
  readonly isSelf: boolean;
}

const STATUS_TEXT: Record<Status, MemberStatus> = {
  [STATUS.alive]: 'alive',
  [STATUS.suspect]: 'suspect',
  [STATUS.dead]: 'dead',
  [STATUS.left]: 'left',
};

/** The public form of what the engine knows. */
export function toMember(info: MemberInfo, selfName: string): Member {
  return Object.freeze({
    name: info.name,
    address: formatAddress(info.address),
    host: socketHost(info.address.ip),
    port: info.address.port,
    status: STATUS_TEXT[info.status],
    incarnation: info.incarnation,
    meta: info.meta,
    stalled: info.stalled,
    extended: info.extended,
    versions: info.vsn,
    isSelf: info.name === selfName,
  });
}
