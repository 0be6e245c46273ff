/** hearsay: gossip membership that speaks memberlist's wire. The public surface, and nothing else. */
export { Cluster, type LeaveOptions } from './cluster/cluster.ts';
export type { ClusterEvent, ClusterEventMap, ClusterEventName, Conflict, Message } from './cluster/events.ts';
export type { Logger } from './cluster/logger.ts';
export { ClusterMap, type ClusterMapEvents, type SubscribeOptions } from './cluster/map.ts';
export type { Member, MemberStatus } from './cluster/member.ts';
export { type MemberHandle, MemberReader } from './cluster/member-reader.ts';
export type { ClusterOptions, ProfileName, Tuning } from './cluster/options.ts';
export type { ClusterStats } from './cluster/stats.ts';
export type { EngineConfig } from './protocol/config.ts';
export type { EngineStats } from './protocol/stats.ts';
export type { AliveFilter, MergeFilter } from './protocol/types.ts';
export type { Counter, MapSet, MultiRegister } from './state/crdts.ts';
export type { ExchangeMode, ExchangeReport } from './state/exchanges.ts';
export type { MapLimits } from './state/limits.ts';
export type { MapOptions, StrategyName } from './state/map-options.ts';
export type { ConversationStats } from './state/reconcile/port.ts';
export type {
  ConflictHandler,
  MapChange,
  MapConflict,
  MapStats,
  Namespace,
  SetOptions,
} from './state/replicated-map.ts';
export type { RestoredSnapshot } from './state/snapshot.ts';
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
export type { EventBuffer } from './util/event-buffer.ts';
