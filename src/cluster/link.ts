import type { GossipEvent, MemberInfo } from '../protocol/types.ts';
import type { ErrorCode } from '../util/errors.ts';
import type { LogLevel } from './logger.ts';
import type { SharedArenas } from './shared-table.ts';
import type { ClusterStats } from './stats.ts';

/** What the facade asks of the host, by name: arguments and answer. */
export interface HostCommands {
  /** Push/pull with every address of every seed; answers how many worked. */
  join: { args: [seeds: readonly string[]]; answer: number };
  /** Announces that we leave; answers whether the news went out before the timeout. */
  leave: { args: [timeoutMs: number]; answer: boolean };
  setMeta: { args: [meta: Uint8Array, timeoutMs: number]; answer: boolean };
  broadcast: { args: [data: Uint8Array]; answer: undefined };
  send: { args: [to: string, data: Uint8Array, reliable: boolean]; answer: undefined };
  /** A piece of replicated state for a member. */
  sendState: { args: [to: string, data: Uint8Array, reliable: boolean]; answer: undefined };
  /** Announces that this node has replicated maps. */
  replicate: { args: []; answer: undefined };
  ping: { args: [name: string]; answer: number };
  estimate: { args: [cycles: number | undefined]; answer: number };
  stats: { args: []; answer: ClusterStats };
  addKey: { args: [key: Uint8Array]; answer: undefined };
  useKey: { args: [key: Uint8Array]; answer: undefined };
  removeKey: { args: [key: Uint8Array]; answer: undefined };
  keys: { args: []; answer: readonly Uint8Array[] };
  stop: { args: []; answer: undefined };
}
export type HostCommandName = keyof HostCommands;

/** What the host tells at its start. */
export interface HostHello {
  readonly backend: { readonly name: 'native' | 'js'; readonly reason: string };
  readonly packets: 'dgram' | 'batched' | 'custom';
  /** Seeds that answered the first join. */
  readonly joined: number;
}

/** What the host reports without being asked. */
export interface HostSink {
  /** `taken` wants to be called once the program has seen them all: at most two calls wait for that. */
  events(events: readonly GossipEvent[], taken: () => void): void;
  log(level: LogLevel, fields: object, message: string): void;
  error(error: Error): void;
  /** The shared arenas were replaced by bigger ones. */
  arenas(arenas: SharedArenas): void;
}

/** What the facade hears: the host's reports, and the end of the thread it ran in. */
export interface LinkSink extends HostSink {
  /** The engine's thread has ended without being asked. Commands under way are rejected with the same error. */
  lost(error: Error): void;
}

/** The facade's way to a host, in this thread or another. */
export interface HostLink {
  readonly hello: HostHello;
  call<K extends HostCommandName>(name: K, ...args: HostCommands[K]['args']): Promise<HostCommands[K]['answer']>;
  members(): readonly MemberInfo[];
  /** Shared memory with the members; undefined when they are not shared. */
  readonly arenas: SharedArenas | undefined;
  /** Releases the thread or timers behind the link after 'stop' was answered. */
  close(): Promise<void>;
}

/** An error as it crosses threads: structured clone drops the class and the code. */
export interface WireError {
  readonly code: ErrorCode | undefined;
  readonly message: string;
}

/** Facade to worker: a command, or that the events of one message were delivered. */
export type ToWorker =
  | { readonly kind: 'call'; readonly id: number; readonly name: HostCommandName; readonly args: readonly unknown[] }
  | { readonly kind: 'taken' };

/** Worker to facade. */
export type FromWorker =
  | { readonly kind: 'ready'; readonly hello: HostHello; readonly arenas: SharedArenas }
  | { readonly kind: 'failed'; readonly error: WireError }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'refused'; readonly id: number; readonly error: WireError }
  | { readonly kind: 'events'; readonly events: readonly GossipEvent[] }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly fields: object; readonly message: string }
  | { readonly kind: 'error'; readonly error: WireError }
  | { readonly kind: 'arenas'; readonly arenas: SharedArenas };
