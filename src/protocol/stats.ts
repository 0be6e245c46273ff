import { REJECT } from '../kernels/contract.ts';

/** Names of REJECT, by code. */
export const REJECT_NAMES: readonly string[] = Object.keys(REJECT);

/**
 * What the engine did and what it dropped, with the reason; all counts since its creation. A plain object that the engine
 * writes to: copy it to keep a moment.
 */
export interface EngineStats {
  packetsReceived: number;
  bytesReceived: number;
  packetsSent: number;
  bytesSent: number;
  /** Datagrams and stream bodies dropped whole, by the name of the reason (REJECT). */
  readonly rejected: Record<string, number>;
  /** Parts of a type we do not know inside compounds, and entries of a push/pull with a field outside its limits: passed over alone. */
  skippedParts: number;
  /** Datagrams that found the inbox full. */
  inboxFull: number;

  probesSent: number;
  probesAcked: number;
  /** Answered only after others were asked, or late. */
  probesAckedIndirectly: number;
  /** Answered over a stream only: packets seem to be blocked on the way. */
  probesAckedByStream: number;
  probesFailed: number;
  /** Probes of members that left or died meanwhile: they count neither for nor against us. */
  probesMoot: number;
  /** Probes without an answer that were taken for a fault of our own (protocol §24.2). */
  probesDoubted: number;
  /** Periodic work that gave way because timers were late. */
  ticksShed: number;
  /** Verdicts put off once because a timer came late: this process had slept (protocol §12.3). */
  verdictsDeferred: number;
  nacksReceived: number;
  nacksSent: number;
  relaysAsked: number;
  /** Requests to probe for others beyond the limit of those under way. */
  relaysRefused: number;
  acksForwarded: number;
  /** Acks and nacks whose sequence number nobody waits for. */
  acksUnknown: number;
  /** Pings meant for another name: somebody has an old address. */
  pingsForOthers: number;

  suspicionsStarted: number;
  suspicionsConfirmed: number;
  /** Suspicions that ran out: members this node declared dead. */
  suspicionsExpired: number;
  refutations: number;
  conflicts: number;
  membersReaped: number;
  /** Records ignored because a filter said so. */
  refusedByAliveFilter: number;
  refusedByCidr: number;
  /** News about more members than membersMax. */
  refusedByMembersMax: number;

  gossipPackets: number;
  broadcastsQueued: number;
  /** Pushed out because the queue was full. */
  broadcastsEvicted: number;
  /** Replaced by newer news about the same member. */
  broadcastsInvalidated: number;
  broadcastsTransmitted: number;
  rumorsReceived: number;
  /** Rumors that had been seen before. */
  rumorsDuplicate: number;
  /** Probes of the successor on the ring: sent, answered, failed, and taken for a fault of our own. */
  ringProbesSent: number;
  ringProbesAcked: number;
  ringProbesFailed: number;
  ringProbesDoubted: number;
  /** Beats to the predecessor on the ring, and from others. */
  ringBeatsSent: number;
  ringBeatsReceived: number;
  /** Packets of news that were sent at once, without waiting for the next gossip tick. */
  urgentPackets: number;
  /** Halves of exchanges of an averaging. */
  averagesReceived: number;
  /** Those that would have begun one more than we take part in. */
  averagesRefused: number;
  userMessagesReceived: number;
  /** For the replicated maps of this node. */
  stateMessagesReceived: number;

  pushPullsStarted: number;
  pushPullsMerged: number;
  pushPullsFailed: number;
  /** Push/pulls that failed the version check, or that the merge filter refused. */
  pushPullsRefused: number;
  /** Delta push-pulls that we opened; they count as push/pulls too. */
  syncsStarted: number;
  /** Opened by others, and nothing differed. */
  syncsEqual: number;
  /** In which we sent all our rows, because most of them differed. */
  syncsWhole: number;
  syncRowsSent: number;
  syncRowsReceived: number;
  /** Bytes of messages before encryption and label. */
  syncBytesSent: number;
  syncBytesReceived: number;
  streamsRejected: number;
  /** Replies to a stream exchange that is not under way. */
  streamRepliesUnknown: number;
}

/** All zero. */
export function createStats(): EngineStats {
  return {
    packetsReceived: 0,
    bytesReceived: 0,
    packetsSent: 0,
    bytesSent: 0,
    rejected: Object.fromEntries(REJECT_NAMES.slice(1).map((name) => [name, 0])),
    skippedParts: 0,
    inboxFull: 0,
    probesSent: 0,
    probesAcked: 0,
    probesAckedIndirectly: 0,
    probesAckedByStream: 0,
    probesFailed: 0,
    probesMoot: 0,
    probesDoubted: 0,
    ticksShed: 0,
    verdictsDeferred: 0,
    nacksReceived: 0,
    nacksSent: 0,
    relaysAsked: 0,
    relaysRefused: 0,
    acksForwarded: 0,
    acksUnknown: 0,
    pingsForOthers: 0,
    suspicionsStarted: 0,
    suspicionsConfirmed: 0,
    suspicionsExpired: 0,
    refutations: 0,
    conflicts: 0,
    membersReaped: 0,
    refusedByAliveFilter: 0,
    refusedByCidr: 0,
    refusedByMembersMax: 0,
    gossipPackets: 0,
    broadcastsQueued: 0,
    broadcastsEvicted: 0,
    broadcastsInvalidated: 0,
    broadcastsTransmitted: 0,
    rumorsReceived: 0,
    rumorsDuplicate: 0,
    ringProbesSent: 0,
    ringProbesAcked: 0,
    ringProbesFailed: 0,
    ringProbesDoubted: 0,
    ringBeatsSent: 0,
    ringBeatsReceived: 0,
    urgentPackets: 0,
    averagesReceived: 0,
    averagesRefused: 0,
    userMessagesReceived: 0,
    stateMessagesReceived: 0,
    pushPullsStarted: 0,
    pushPullsMerged: 0,
    pushPullsFailed: 0,
    pushPullsRefused: 0,
    syncsStarted: 0,
    syncsEqual: 0,
    syncsWhole: 0,
    syncRowsSent: 0,
    syncRowsReceived: 0,
    syncBytesSent: 0,
    syncBytesReceived: 0,
    streamsRejected: 0,
    streamRepliesUnknown: 0,
  };
}

/** Counts a dropped datagram or body under the name of its reason. */
export function countReject(stats: EngineStats, code: number): void {
  const name = REJECT_NAMES[Math.abs(code)] ?? 'malformed';
  stats.rejected[name] = (stats.rejected[name] ?? 0) + 1;
}
