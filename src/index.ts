/** hearsay: gossip membership that speaks memberlist's wire. The public surface, and nothing else. */
export { Cluster, type LeaveOptions } from './cluster/cluster.ts';
export type { EventBuffer } from './cluster/event-buffer.ts';
export type { ClusterEvent, ClusterEventMap, ClusterEventName, Conflict, Message } from './cluster/events.ts';
export type { Logger } from './cluster/logger.ts';
export type { Member, MemberStatus } from './cluster/member.ts';
export { type MemberHandle, MemberReader } from './cluster/member-reader.ts';
export type { ClusterOptions, ProfileName, Tuning } from './cluster/options.ts';
export type { ClusterStats } from './cluster/stats.ts';
export type { EngineConfig } from './protocol/config.ts';
export type { EngineStats } from './protocol/stats.ts';
export type { AliveFilter, MergeFilter } from './protocol/types.ts';
export {
  delay,
  type FaultRule,
  FaultyNetwork,
  FaultyTransport,
  loss,
  type Passage,
  partition,
  type Verdict,
} from './transport/faulty.ts';
export { NetTransport, type NetTransportOptions } from './transport/net-transport.ts';
export type { StreamConnection, Transport, TransportHandlers, TransportStats } from './transport/transport.ts';
export { type Address, formatAddress, parseAddress } from './util/address.ts';
export { ERROR_CODES, type ErrorCode, HearsayError } from './util/errors.ts';
