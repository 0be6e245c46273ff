import { EventEmitter } from 'node:events';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Counter, MapSet, MultiRegister } from '../state/crdts.ts';
import type { ExchangeReport } from '../state/exchanges.ts';
import type {
  ConflictHandler,
  MapChange,
  MapConflict,
  MapStats,
  Namespace,
  ReplicatedMap,
  SetOptions,
} from '../state/replicated-map.ts';
import type { RestoredSnapshot } from '../state/snapshot.ts';
import { HearsayError } from '../util/errors.ts';
import { EventBuffer } from '../util/event-buffer.ts';

const BUFFER_DEFAULT = 1024;
/** An exchange that was asked for and not heard of again is given up, ms; the conversation itself gives up before. */
const EXCHANGE_TIMEOUT_MS = 60_000;

export interface SubscribeOptions {
  /** Only keys that begin with this. Default all. */
  readonly prefix?: string;
  readonly signal?: AbortSignal;
  /** Changes that may wait; the oldest are dropped and counted in `dropped`. Default 1,024. */
  readonly capacity?: number;
}

export interface ClusterMapEvents {
  change: [change: MapChange];
  conflict: [conflict: MapConflict];
}

/**
 * A map that every node of a cluster reads and writes locally and that becomes the same everywhere (docs/anti-entropy.md).
 *
 * ```js
 * const services = cluster.map('services');
 * services.own.setJson('web', { port: 8080 });           // gone a minute after this node
 * services.set('config/limit', '100', { ttlMs: 60_000 }); // everybody may write it; the last writer wins
 * services.get('config/limit');                           // bytes, at once, from memory
 * for await (const { type, key } of services.subscribe({ prefix: 'config/' })) console.log(type, key);
 * ```
 *
 * Reading and writing are plain calls that wait for nobody. What is written is told to others within some tenths of a second, and what gets lost on the
 * way, in a partition or a restart, is found by comparing. Values are bytes; texts are written as UTF-8.
 */
export class ClusterMap extends EventEmitter<ClusterMapEvents> {
  readonly #map: ReplicatedMap;
  readonly #buffers = new Set<EventBuffer<MapChange>>();
  readonly #forget: () => void;
  #handler: ConflictHandler | undefined;
  /** Snapshots and restores, one after the other. */
  #disk: Promise<unknown> = Promise.resolve();

  /** Made by Cluster.map(). */
  constructor(map: ReplicatedMap, forget: () => void) {
    super();
    this.#map = map;
    this.#forget = forget;
    map.onChange(
      (change) => this.#tell(change),
      () => this.#buffers.size > 0 || this.listenerCount('change') > 0,
    );
    map.onConflict((conflict) => {
      this.emit('conflict', conflict);
      return this.#handler?.(conflict);
    });
  }

  get name(): string {
    return this.#map.name;
  }

  /** The value under a key, as a copy; undefined when there is none. */
  get(key: string): Uint8Array | undefined {
    return this.#map.get(key);
  }

  /** The value as JSON; undefined when there is none. Throws SyntaxError when it is no JSON. */
  getJson(key: string): unknown {
    return this.#map.getJson(key);
  }

  has(key: string): boolean {
    return this.#map.has(key);
  }

  /** Writes a value. Throws ERR_MAP_LIMIT (key, value, records or totalBytes, by name), ERR_ARGUMENT_INVALID, ERR_MAP_CLOSED; then nothing has changed. */
  set(key: string, value: Uint8Array | string, options?: SetOptions): void {
    this.#map.set(key, value, options);
  }

  setJson(key: string, value: unknown, options?: SetOptions): void {
    this.#map.setJson(key, value, options);
  }

  /** Deletes a key; false when it is not there. */
  delete(key: string): boolean {
    return this.#map.delete(key);
  }

  /** Keys and values (copies), those that begin with `prefix`, in no particular order. */
  entries(options?: { readonly prefix?: string }): IterableIterator<[key: string, value: Uint8Array]> {
    return this.#map.entries(options);
  }

  keys(options?: { readonly prefix?: string }): IterableIterator<string> {
    return this.#map.keys(options);
  }

  [Symbol.iterator](): IterableIterator<[key: string, value: Uint8Array]> {
    return this.#map.entries();
  }

  /** Number of keys that everybody may write; counts them, so O(n). */
  get size(): number {
    return this.#map.size;
  }

  /** What this node owns: only it writes here. It is gone everywhere `ownerTtlMs` (a minute) after the node is. */
  get own(): ReplicatedMap['own'] {
    return this.#map.own;
  }

  /** What a node owns, for reading. */
  of(owner: string): Namespace {
    return this.#map.of(owner);
  }

  /** Names of the nodes that own something. */
  owners(): string[] {
    return this.#map.owners();
  }

  /** A counter that all nodes add to. */
  counter(name: string): Counter {
    return this.#map.counter(name);
  }

  /** A set in which adding wins over a deletion that did not know of it. */
  orSet(name: string): MapSet {
    return this.#map.orSet(name);
  }

  /** A register that keeps what was written side by side. */
  register(name: string): MultiRegister {
    return this.#map.register(name);
  }

  /**
   * Is told when two nodes wrote one key without knowing of each other ('conflict' is emitted as well), on every node where the two meet. The last writer has won; what the
   * handler returns is written in place of both, once, by the node whose write lost. A node that did not live to see that cannot.
   */
  onConflict(handler: ConflictHandler | undefined): void {
    this.#handler = handler;
  }

  /** Changes as an async iterator, those of this node included. Ends when the map is closed, the cluster stops or `signal` aborts. */
  subscribe({ prefix = '', signal, capacity = BUFFER_DEFAULT }: SubscribeOptions = {}): EventBuffer<MapChange> {
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new HearsayError(
        'ERR_ARGUMENT_INVALID',
        `capacity: expected a whole number from 1 up, got ${String(capacity)}`,
      );
    }
    const close = (): void => buffer.close();
    const buffer = new EventBuffer<MapChange>(
      capacity,
      () => {
        this.#buffers.delete(buffer);
        signal?.removeEventListener('abort', close);
      },
      ({ value }) => value?.length ?? 0,
      undefined,
      ({ key }) => key.startsWith(prefix),
    );
    if (signal?.aborted || this.#map.isClosed) buffer.close();
    else {
      this.#buffers.add(buffer);
      signal?.addEventListener('abort', close, { once: true });
    }
    return buffer;
  }

  /** Compares with a member now, and says how it went. Rejects with ERR_MEMBER_UNKNOWN when no member of that name shares the map, ERR_TIMEOUT. */
  async exchange(member: string): Promise<ExchangeReport> {
    if (!this.#map.peers.includes(member)) {
      throw new HearsayError(
        'ERR_MEMBER_UNKNOWN',
        `member: expected one that shares map ${JSON.stringify(this.name)} (${this.#map.peers.join(', ') || 'none yet'}), got ${JSON.stringify(member)}`,
      );
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () =>
          reject(new HearsayError('ERR_TIMEOUT', `exchange with ${member}: not over after ${EXCHANGE_TIMEOUT_MS} ms`)),
        EXCHANGE_TIMEOUT_MS,
      );
      this.#map.exchange(member, (report) => {
        clearTimeout(timer);
        resolve(report);
      });
    });
  }

  /** Members that share the map, as far as this node knows, without itself. */
  get peers(): readonly string[] {
    return this.#map.peers;
  }

  /** Equal on two nodes when they hold the same records, deleted ones that are still remembered included. */
  get digest(): string {
    return this.#map.digest;
  }

  /** Everything it holds as lines of text, ordered: for tests. */
  dump(): string[] {
    return this.#map.dump();
  }

  get stats(): MapStats {
    return this.#map.stats;
  }

  /**
   * Writes everything to a file, in place of what is there: to a new file first, which is synced and then takes the old one's place, so that a crash at any moment
   * leaves the old or the new one. The map may be written meanwhile. Resolves with the bytes written; rejects with ERR_SNAPSHOT_FAILED.
   */
  snapshot(file: string): Promise<number> {
    return this.#queue(async () => {
      // Always the same name: what a crash leaves behind the next snapshot writes over.
      const temporary = `${file}.tmp`;
      try {
        const handle = await open(temporary, 'w');
        let bytes = 0;
        try {
          for (const chunk of this.#map.snapshot()) {
            await handle.write(chunk);
            bytes += chunk.length;
          }
          await handle.sync();
        } finally {
          await handle.close();
        }
        await rename(temporary, file);
        await syncDirectory(dirname(file));
        return bytes;
      } catch (cause) {
        await rm(temporary, { force: true });
        throw failed('write', file, cause);
      }
    });
  }

  /**
   * Takes over what a snapshot holds; what is newer here stays. Best right after map(), before the node has said anything. Rejects with ERR_SNAPSHOT_INVALID when the file
   * is cut or damaged, or of another map: then nothing was taken over; ERR_SNAPSHOT_FAILED when it cannot be read.
   */
  restore(file: string): Promise<RestoredSnapshot> {
    return this.#queue(async () => {
      let bytes: Uint8Array;
      try {
        bytes = await readFile(file);
      } catch (cause) {
        throw failed('read', file, cause);
      }
      try {
        return this.#map.restore(bytes);
      } catch (error) {
        if (error instanceof HearsayError) throw new HearsayError(error.code, `${file}: ${error.message}`);
        throw error;
      }
    });
  }

  /** Stops replicating. What it holds can still be read. */
  close(): void {
    this.#map.close();
    this.end();
    this.#forget();
  }

  /** The cluster has stopped. */
  end(): void {
    for (const buffer of this.#buffers) buffer.close();
  }

  #queue<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#disk.then(step);
    this.#disk = result.catch(() => undefined);
    return result;
  }

  #tell(change: MapChange): void {
    for (const buffer of this.#buffers) buffer.push(change);
    this.emit('change', change);
  }
}

function failed(what: string, file: string, cause: unknown): HearsayError {
  return new HearsayError(
    'ERR_SNAPSHOT_FAILED',
    `could not ${what} the snapshot ${file}: ${(cause as Error).message}`,
    {
      cause,
    },
  );
}

/** Makes a rename last. Windows cannot open directories, and does not need to. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
