import type { Status } from '../kernels/contract.ts';
import type { Address } from '../util/address.ts';
import type { PackJob } from '../wire/stream-job.ts';

/** What a member looks like at one moment. A plain value: later changes do not show in it. */
export interface MemberInfo {
  readonly name: string;
  readonly address: Address;
  /** At most 512 bytes (protocol §2). */
  readonly meta: Uint8Array;
  readonly incarnation: number;
  readonly status: Status;
  /** Its process answers but its application thread does not run. Only hearsay members can say so of themselves. */
  readonly stalled: boolean;
  /** Announced hearsay's extensions. */
  readonly extended: boolean;
  /** Has opened a replicated map. */
  readonly replicates: boolean;
  /** Protocol min, max, current; delegate min, max, current. */
  readonly vsn: readonly number[];
  /** When the status last changed, ms on the engine's clock. */
  readonly statusSinceMs: number;
}

export type GossipEvent =
  | {
      readonly type: 'join' | 'update' | 'alive' | 'suspect' | 'dead' | 'leave' | 'stall' | 'resume';
      readonly member: MemberInfo;
    }
  | { readonly type: 'conflict'; readonly member: MemberInfo; readonly other: Address }
  | {
      /** 'state' is for the replicated maps of this node; it is never a 'broadcast'. */
      readonly type: 'message' | 'state';
      /** Name of the sender, '' when it is not (or not yet) a member we know. */
      readonly from: string;
      readonly address: Address;
      readonly payload: Uint8Array;
      /** 'packet' and 'stream' were sent to us, 'broadcast' was spread by gossip. */
      readonly via: 'packet' | 'stream' | 'broadcast';
    }
  | { readonly type: 'probe'; readonly member: MemberInfo; readonly rttMs: number }
  /** Outcome of a command, by the id that the command returned. */
  | { readonly type: 'done'; readonly request: number; readonly ok: boolean; readonly detail: string };

/** A datagram to send. `bytes` is complete (sealed); it stays valid until the next call of the engine. */
export interface Transmit {
  readonly to: Address;
  readonly bytes: Uint8Array;
}

/**
 * A stream exchange that the driver carries out: connect to `to`, write `bytes` (complete: label, encryption and
 * compression applied), and if `expectsReply` read one message and hand it to handleStreamReply, else report success with
 * handleStreamReply(id, empty). Any failure: handleStreamFailure. All before `deadlineMs`.
 */
export interface StreamRequest {
  readonly id: number;
  readonly to: Address;
  /** What to write, made when it (or `pack`) is first read: read it when the connection stands. */
  readonly bytes: Uint8Array;
  /** Instead of `bytes`, which are empty then, for a driver that may defer: do this, hand the result to sealStream(), and write what that gives. */
  readonly pack?: PackJob | undefined;
  readonly expectsReply: boolean;
  readonly deadlineMs: number;
}

/**
 * What to write next on a stream: bytes (may be empty). `more`: then read one more message, which goes to the same handler, and which need not come;
 * else close.
 */
export interface StreamAnswer {
  readonly bytes: Uint8Array;
  /** As in a StreamRequest. */
  readonly pack?: PackJob | undefined;
  readonly more: boolean;
}

/** Alive filter (memberlist's alive delegate): answer false to ignore the message. Must be quick and pure. */
export type AliveFilter = (member: {
  name: string;
  address: Address;
  meta: Uint8Array;
  vsn: readonly number[];
}) => boolean;
/** Merge filter (memberlist's merge delegate), asked once per join with everything the other side sent. */
export type MergeFilter = (
  members: readonly { name: string; address: Address; meta: Uint8Array; status: number }[],
) => boolean;
