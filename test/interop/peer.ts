import type { EventLog } from './event-log.ts';

/** A member as one peer sees it, whatever the peer is made of. */
export interface MemberView {
  readonly name: string;
  readonly address: string;
  readonly meta: Uint8Array;
  readonly state: string;
  readonly vsn: readonly number[];
}

/** What a peer reports. 'leave' is a graceful leave, 'dead' a failure. */
export type PeerEvent =
  | {
      readonly type: 'join' | 'update' | 'suspect' | 'alive' | 'leave' | 'dead';
      readonly name: string;
      readonly member?: MemberView;
    }
  | { readonly type: 'message'; readonly bytes: Uint8Array; readonly from?: string; readonly via?: string }
  | { readonly type: 'refuted' | 'log'; readonly text: string }
  | { readonly type: 'conflict' | 'other'; readonly text: string };

/** Settings that exist on both sides, for tests that run with the roles swapped. */
export interface PeerSettings {
  readonly name: string;
  readonly seeds?: readonly string[];
  readonly profile?: 'lan' | 'wan' | 'local';
  readonly meta?: Uint8Array;
  readonly keys?: readonly Uint8Array[];
  readonly label?: string;
  readonly compression?: boolean;
  readonly advertisePort?: number;
  /** Loopback address to bind to; default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: a free one. */
  readonly port?: number;
  /** Real nodes only: report suspicions. Costs a look at the whole table every 20 ms. Default true. */
  readonly watch?: boolean;
  readonly probeIntervalMs?: number;
  readonly probeTimeoutMs?: number;
  readonly gossipIntervalMs?: number;
  readonly pushPullIntervalMs?: number;
  readonly suspicionMult?: number;
  readonly protocolVersion?: number;
  readonly delegateVersions?: { readonly min: number; readonly max: number; readonly current: number };
}

export type PeerKind = 'ours' | 'memberlist';

/** One node of either implementation. */
export interface Peer {
  readonly kind: PeerKind;
  readonly name: string;
  /** "ip:port" to join through. */
  readonly address: string;
  readonly events: EventLog<PeerEvent>;
  /** Alive and suspect members, itself included. */
  members(): Promise<MemberView[]>;
  /** The incarnation of a member as this peer knows it. */
  incarnation(name: string): Promise<number>;
  setMeta(meta: Uint8Array): Promise<void>;
  send(to: string, bytes: Uint8Array, options: { reliable: boolean }): Promise<void>;
  broadcast(bytes: Uint8Array): Promise<void>;
  /** Says goodbye; the node stays up for a moment so that others hear it. */
  leave(): Promise<void>;
  /** Stops without a word. */
  kill(): Promise<void>;
  addKey(key: Uint8Array): Promise<void>;
  useKey(key: Uint8Array): Promise<void>;
  removeKey(key: Uint8Array): Promise<void>;
}

export type PeerFactory = (settings: PeerSettings) => Promise<Peer>;

/** Waits until `peer` reports `type` about the member. */
export async function sees(
  peer: Peer,
  type: 'join' | 'update' | 'suspect' | 'alive' | 'leave' | 'dead',
  name: string,
  withinMs: number,
  since = 0,
): Promise<MemberView | undefined> {
  const event = await peer.events.wait(
    `"${type}" about ${name}`,
    (e) => e.type === type && 'name' in e && e.name === name,
    withinMs,
    since,
  );
  return 'member' in event ? event.member : undefined;
}

/** Waits until `peer` gets exactly these bytes as a user message. */
export async function receives(peer: Peer, bytes: Uint8Array, withinMs: number, since = 0): Promise<void> {
  const wanted = Buffer.from(bytes);
  await peer.events.wait(
    `user message of ${bytes.length} bytes`,
    (e) => e.type === 'message' && wanted.equals(e.bytes),
    withinMs,
    since,
  );
}
