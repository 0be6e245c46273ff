import { channel } from 'node:diagnostics_channel';
import type { Member } from './member.ts';
import type { MemberHandle } from './member-reader.ts';

/** A message from another member's program. */
export interface Message {
  /** Name of the sender; '' when the packet came from an address that is no member's. */
  readonly from: string;
  /** `ip:port` it came from. */
  readonly address: string;
  readonly data: Uint8Array;
  /** 'packet' and 'stream' were sent to this node, 'broadcast' was spread by gossip. */
  readonly via: 'packet' | 'stream' | 'broadcast';
}

/** Somebody else claims the name of a member from another address. */
export interface Conflict {
  /** The member as it is known; it stays. */
  readonly member: Member;
  /** `ip:port` of the claimant. */
  readonly other: string;
}

/** Everything a cluster reports, by event name. */
export interface ClusterEventMap {
  /** A member appeared, or came back from dead or left. This node itself included (`isSelf`), at the start. */
  join: [member: Member];
  /** A member's metadata changed. */
  update: [member: Member];
  /** A member did not answer; it has time to refute. */
  suspect: [member: Member];
  /** A suspicion was refuted. */
  alive: [member: Member];
  /** A member failed: its suspicion ran out. */
  dead: [member: Member];
  /** A member left on purpose. This node itself included (`isSelf`), when leave() is called. */
  leave: [member: Member];
  message: [message: Message];
  /** A member's process answers, but its application thread does not run. */
  stall: [member: Member];
  /** A stalled member's application thread runs again. */
  resume: [member: Member];
  conflict: [conflict: Conflict];
  /** The shared memory of the members was replaced by a bigger one: pass the handle on to other threads that read it (MemberReader). */
  handle: [handle: MemberHandle];
  /** An operational error; its `code` is stable (docs/errors.md). */
  error: [error: Error];
}

export type ClusterEventName = keyof ClusterEventMap;

/** What `cluster.events()` yields: the event's name and its one argument. Everything of ClusterEventMap but 'handle' and 'error'. */
export type ClusterEvent =
  | {
      readonly type: 'join' | 'update' | 'suspect' | 'alive' | 'dead' | 'leave' | 'stall' | 'resume';
      readonly member: Member;
    }
  | { readonly type: 'message'; readonly message: Message }
  | { readonly type: 'conflict'; readonly conflict: Conflict };

/** What an event weighs against a buffer's bytes: the data of a message; the others are small. */
export function dataBytes(event: ClusterEvent): number {
  return event.type === 'message' ? event.message.data.length : 0;
}

/**
 * node:diagnostics_channel channels. Subscribers run on the application's thread, when the events arrive there.
 *   hearsay:event  { cluster: name, event: ClusterEvent }
 *   hearsay:probe  { cluster: name, member: name, rttMs }   only from clusters started after somebody subscribed
 */
export const eventChannel = channel('hearsay:event');
export const probeChannel = channel('hearsay:probe');
