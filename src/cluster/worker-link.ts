import { Worker } from 'node:worker_threads';
import type { MemberInfo } from '../protocol/types.ts';
import { type ErrorCode, HearsayError } from '../util/errors.ts';
import type {
  FromWorker,
  HostCommandName,
  HostCommands,
  HostHello,
  HostLink,
  LinkSink,
  ToWorker,
  WireError,
} from './link.ts';
import type { HostSettings } from './options.ts';
import { type SharedArenas, SharedTableReader } from './shared-table.ts';

/** What a worker gets at its start. */
export interface WorkerInput {
  readonly settings: HostSettings;
  readonly requireJoin: boolean;
  /** One Int32 that the application's thread raises from its event loop; when it stands still, that loop is stalled. */
  readonly beat: SharedArrayBuffer;
}

/** Beats per stall threshold: the loop must miss several before it counts as stalled. */
const BEATS_PER_STALL = 4;

/** A host in a thread of its own. */
export class WorkerLink implements HostLink {
  readonly hello: HostHello;
  arenas: SharedArenas;
  readonly #worker: Worker;
  readonly #reader: SharedTableReader;
  readonly #sink: LinkSink;
  readonly #pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #beatTimer: NodeJS.Timeout | undefined;
  #nextId = 1;
  #closing = false;

  private constructor(
    worker: Worker,
    hello: HostHello,
    arenas: SharedArenas,
    sink: LinkSink,
    beatTimer: NodeJS.Timeout | undefined,
  ) {
    this.#worker = worker;
    this.hello = hello;
    this.arenas = arenas;
    this.#reader = new SharedTableReader(arenas);
    this.#sink = sink;
    this.#beatTimer = beatTimer;
  }

  /** Starts the thread and waits until its engine is bound and the first join was tried. Rejects once the thread is gone when `signal` aborts before. */
  static start(
    settings: HostSettings,
    requireJoin: boolean,
    sink: LinkSink,
    signal: AbortSignal | undefined,
  ): Promise<WorkerLink> {
    const beat = new SharedArrayBuffer(4);
    // The worker is always loaded from dist/: Node 20 cannot run TypeScript. Both this file's folder and the CommonJS
    // bundle's lie two levels below the package root.
    const worker = new Worker(new URL('../../dist/cluster/worker.js', import.meta.url), {
      workerData: { settings, requireJoin, beat } satisfies WorkerInput,
      name: `hearsay ${settings.name}`.slice(0, 15),
      // Not the application's: its --input-type would keep a file from loading, and its loaders are not for us.
      execArgv: [],
      env: workerEnv(),
    });
    let beatTimer: NodeJS.Timeout | undefined;
    if (settings.stallAfterMs > 0) {
      const counter = new Int32Array(beat);
      beatTimer = setInterval(() => Atomics.add(counter, 0, 1), Math.max(1, settings.stallAfterMs / BEATS_PER_STALL));
      beatTimer.unref();
    }
    const abort = (): void => void worker.terminate();
    signal?.addEventListener('abort', abort, { once: true });
    return new Promise((resolve, reject) => {
      let link: WorkerLink | undefined;
      const fail = (error: Error): void => {
        signal?.removeEventListener('abort', abort);
        clearInterval(beatTimer);
        if (link) link.#lost(error);
        else reject(error);
      };
      worker.on('message', (message: FromWorker) => {
        if (message.kind === 'ready') {
          link = new WorkerLink(worker, message.hello, message.arenas, sink, beatTimer);
          if (settings.unref) worker.unref();
          signal?.removeEventListener('abort', abort);
          resolve(link);
        } else if (message.kind === 'failed') {
          fail(revive(message.error));
          void worker.terminate();
        } else if (link) link.#receive(message);
        else deliverEarly(worker, message, sink);
      });
      worker.on('error', (cause) => {
        fail(new HearsayError('ERR_WORKER_FAILED', `the engine's thread failed: ${cause.message}`, { cause }));
      });
      worker.on('exit', (code) => {
        if (!link || !link.#closing)
          fail(new HearsayError('ERR_WORKER_FAILED', `the engine's thread ended unexpectedly (exit code ${code})`));
      });
    });
  }

  call<K extends HostCommandName>(name: K, ...args: HostCommands[K]['args']): Promise<HostCommands[K]['answer']> {
    if (this.#closing)
      return Promise.reject(new HearsayError('ERR_CLUSTER_STOPPED', 'the cluster was stopped; start a new one'));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker.postMessage({ kind: 'call', id, name, args } satisfies ToWorker);
    });
  }

  members(): readonly MemberInfo[] {
    return this.#reader.read();
  }

  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#beatTimer);
    await this.#worker.terminate();
    this.#rejectAll(new HearsayError('ERR_CLUSTER_STOPPED', 'the cluster was stopped before it answered'));
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case 'answer':
        this.#settle(message.id)?.resolve(message.value);
        break;
      case 'refused':
        this.#settle(message.id)?.reject(revive(message.error));
        break;
      case 'arenas':
        this.arenas = message.arenas;
        this.#reader.replace(message.arenas);
        this.#sink.arenas(message.arenas);
        break;
      default:
        deliverEarly(this.#worker, message, this.#sink);
    }
  }

  #settle(id: number): { resolve: (value: unknown) => void; reject: (error: Error) => void } | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  #lost(error: Error): void {
    this.#closing = true;
    this.#rejectAll(error);
    this.#sink.lost(error);
  }

  #rejectAll(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

/**
 * The environment of the engine's thread. NODE_OPTIONS stays, since package managers put the hook in there that finds modules; but
 * --input-type is for text that comes by --eval or from stdin, and a thread that starts from a file refuses it.
 */
function workerEnv(): NodeJS.ProcessEnv {
  const options = process.env['NODE_OPTIONS'];
  if (!options?.includes('--input-type')) return process.env;
  return { ...process.env, NODE_OPTIONS: options.replace(/(^|\s)--input-type[=\s]\S+/g, '') };
}

/** Messages that make sense before the link exists, too (events of the first join). */
function deliverEarly(worker: Worker, message: FromWorker, sink: LinkSink): void {
  if (message.kind === 'events')
    sink.events(message.events, () => worker.postMessage({ kind: 'taken' } satisfies ToWorker));
  else if (message.kind === 'log') sink.log(message.level, message.fields, message.message);
  else if (message.kind === 'error') sink.error(revive(message.error));
}

function revive(error: WireError): Error {
  return new HearsayError((error.code ?? 'ERR_WORKER_FAILED') as ErrorCode, error.message);
}
