import type { EngineKernels } from '../kernels/contract.ts';
import type { GossipEngine } from '../protocol/engine.ts';
import type { FailedMembers } from '../protocol/failed-members.ts';
import type { PacketSocket } from '../transport/packet-socket.ts';
import type { Address } from '../util/address.ts';

/** One node of a load test. */
export interface LoadNode {
  readonly index: number;
  readonly ip: Uint8Array;
  engine: GossipEngine;
  kernels: EngineKernels;
  isUp: boolean;
  pausedUntilMs: number;
  /** What arrived while it was paused. */
  held: { readonly from: Address; readonly bytes: Uint8Array }[];
  /** When its next timer was set for, ms of this shard's clock. */
  wakeMs: number;
  socket: PacketSocket;
  /** Packets of this turn. */
  hasPackets: boolean;
  /** Whom it looks for again. */
  failed: FailedMembers;
  packetsBefore: number;
  bytesBefore: number;
}
