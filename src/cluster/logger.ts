import type { ClusterEvent } from './events.ts';
import type { Member } from './member.ts';

/**
 * The part of a pino logger that hearsay uses; console-like objects with these methods serve as well.
 *
 *   info   the cluster started (address, backend, packets, encrypted, label) or stopped; a member joined, left, failed, stalled, runs again
 *   debug  a member is suspected, a suspicion was refuted, metadata changed
 *   warn   two nodes claim one name, no seed answered, packets are dropped for a reason that an operator can mend
 *   error  what is also an 'error' event
 */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type LogLevel = keyof Logger;

const nothing = (): void => {};

/** The default: silence. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

type MemberEventName = Extract<ClusterEvent, { member: Member }>['type'];

const MEMBER_LINES: Record<MemberEventName, readonly [level: LogLevel, message: string]> = {
  join: ['info', 'member joined'],
  leave: ['info', 'member left'],
  dead: ['info', 'member failed'],
  stall: ['info', 'member stalled: its process answers, its application does not run'],
  resume: ['info', 'member runs again'],
  suspect: ['debug', 'member suspected'],
  alive: ['debug', 'suspicion refuted'],
  update: ['debug', 'member updated'],
};

/** Logs what happened to a member. */
export function logMember(logger: Logger, cluster: string, event: MemberEventName, member: Member): void {
  const [level, message] = MEMBER_LINES[event];
  logger[level]({ cluster, event, member: member.name, address: member.address }, message);
}
