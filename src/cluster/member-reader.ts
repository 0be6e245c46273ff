import type { Member } from './member.ts';
import { MemberSnapshot } from './member-snapshot.ts';
import { type SharedArenas, SharedTableReader } from './shared-table.ts';

/** What another thread needs to read the members: shared memory and a name. Pass it by `workerData` or `postMessage`. */
export interface MemberHandle {
  readonly name: string;
  readonly arenas: SharedArenas;
}

/**
 * Reads a cluster's members from any thread, without a message to anybody:
 *
 * ```js
 * // main thread
 * const worker = new Worker('./work.js', { workerData: cluster.memberHandle });
 * cluster.on('handle', (handle) => worker.postMessage(handle)); // when the table had to grow
 * // work.js
 * const reader = new MemberReader(workerData);
 * parentPort.on('message', (handle) => reader.replace(handle));
 * reader.members();
 * ```
 */
export class MemberReader {
  readonly #reader: SharedTableReader;
  readonly #snapshot: MemberSnapshot;

  constructor(handle: MemberHandle) {
    this.#reader = new SharedTableReader(handle.arenas);
    this.#snapshot = new MemberSnapshot(handle.name);
  }

  /** True when the cluster went on in bigger memory: members() then repeats its last answer until replace() is called. */
  get isStale(): boolean {
    return this.#reader.isStale;
  }

  /** Goes on with a newer handle of the same cluster. */
  replace(handle: MemberHandle): void {
    this.#reader.replace(handle.arenas);
  }

  /** As Cluster.members(): alive and suspect ones, or `{ all: true }`. Nothing is copied while nothing changed. */
  members(options: { readonly all?: boolean } = {}): readonly Member[] {
    const all = this.#snapshot.of(this.#reader.read());
    return options.all ? all : all.filter((member) => member.status === 'alive' || member.status === 'suspect');
  }
}
