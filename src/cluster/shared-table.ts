import { internerSections } from '../kernels/arenas/interner.ts';
import { type Arena, EXT, PROFILE, type Status } from '../kernels/contract.ts';
import { HEADER, INTERNER, INTERNER_ENTRY, ROW, TABLE } from '../kernels/layout.ts';
import type { MemberInfo } from '../protocol/types.ts';
import { textOf } from '../util/bytes.ts';

/** The arenas a reader needs. The engine's thread replaces them when one was grown. */
export interface SharedArenas {
  readonly table: Arena;
  readonly names: Arena;
  readonly profiles: Arena;
  /** Section offsets of the table arena. */
  readonly rowsOffset: number;
  readonly orderOffset: number;
  /** HEADER.home of the table when this was made. */
  readonly home: number;
}

/** Attempts before a reader settles for its previous snapshot. Each costs one look at the sequence word. */
const ATTEMPTS_MAX = 100_000;

/**
 * Reads the member table that an engine on another thread keeps in shared memory: no message, no waiting for that thread.
 *
 * The engine makes the table's sequence word odd before it changes anything (names and profiles included) and even
 * afterwards. The reader copies the used part of the three arenas between two looks at that word and starts over
 * if it moved. A copy is made only when the change counter moved, so reading an idle cluster costs two loads. Arenas that the engine has left
 * stay as they were then, so a reader that did not hear of it yet reads what is old but whole.
 */
export class SharedTableReader {
  #arenas: SharedArenas;
  #header: Uint32Array;
  #members: readonly MemberInfo[] = [];
  #changeCount = -1;
  /** What was decoded last, by slot: rows that did not change keep their objects. */
  #decoded: (Decoded | undefined)[] = [];

  constructor(arenas: SharedArenas) {
    this.#arenas = arenas;
    this.#header = new Uint32Array(arenas.table, 0, TABLE.outOffset / 4);
  }

  /** Goes on with grown arenas. */
  replace(arenas: SharedArenas): void {
    this.#arenas = arenas;
    this.#header = new Uint32Array(arenas.table, 0, TABLE.outOffset / 4);
    this.#changeCount = -1;
    this.#decoded = [];
  }

  /** True once the engine went on in bigger arenas: what is read here has stopped changing. */
  get isStale(): boolean {
    return Atomics.load(this.#header, HEADER.home / 4) !== this.#arenas.home;
  }

  /** All rows in the order of the probe list, dead and left ones included. */
  read(): readonly MemberInfo[] {
    const seqWord = HEADER.seq / 4;
    const changeWord = HEADER.changeCount / 4;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const before = Atomics.load(this.#header, seqWord);
      if (before & 1) continue;
      const changeCount = Atomics.load(this.#header, changeWord);
      if (changeCount === this.#changeCount) return this.#members;
      const copy = this.#copy();
      // Not a load: nothing would keep the plain reads above from being done after it, on a machine that reorders. A read-modify-write is
      // ordered behind them, and before any later change, because the owner changes this word by Atomics.add (fetch_add) only: its next add
      // sees the one here. Adding 0 takes nothing away from the owner's count.
      if (Atomics.add(this.#header, seqWord, 0) !== before) continue;
      this.#members = this.#decode(copy);
      this.#changeCount = changeCount;
      return this.#members;
    }
    return this.#members;
  }

  #decode({ rows, order, names, profiles }: TableCopy): readonly MemberInfo[] {
    const decoded: (Decoded | undefined)[] = [];
    const members = new Array<MemberInfo>(order.length);
    for (let i = 0; i < order.length; i++) {
      const slot = order[i] as number;
      const at = slot * ROW.stride;
      const state = rows.getUint32(at + ROW.status, true);
      const ext = rows.getUint32(at + ROW.ext, true);
      const incarnation = rows.getUint32(at + ROW.incarnation, true);
      const statusSinceMs = rows.getFloat64(at + ROW.statusSinceMs, true);
      const profileId = rows.getUint32(at + ROW.profileId, true);
      const entry = (profileId - 1) * INTERNER_ENTRY.stride;
      const profileHash = profiles.entries.getUint32(entry + INTERNER_ENTRY.hash, true);
      const profileLength = profiles.entries.getUint32(entry + INTERNER_ENTRY.length, true);
      let row = this.#decoded[slot];
      if (
        row === undefined ||
        row.state !== state ||
        row.ext !== ext ||
        row.info.incarnation !== incarnation ||
        row.info.statusSinceMs !== statusSinceMs ||
        row.profileId !== profileId ||
        row.profileHash !== profileHash ||
        row.profileLength !== profileLength
      ) {
        const info: MemberInfo = {
          name: textOf(bytesOfId(names, rows.getUint32(at + ROW.nameId, true))),
          ...decodeProfile(bytesOfId(profiles, profileId)),
          incarnation,
          status: (state & 255) as Status,
          statusSinceMs,
          stalled: (ext & EXT.stalled) !== 0,
          extended: (ext & EXT.present) !== 0,
          replicates: (ext & EXT.state) !== 0,
        };
        row = { info, state, ext, profileId, profileHash, profileLength };
      }
      decoded[slot] = row;
      members[i] = row.info;
    }
    this.#decoded = decoded;
    return members;
  }

  #copy(): TableCopy {
    const { table, names, profiles, rowsOffset, orderOffset } = this.#arenas;
    const live = this.#header[HEADER.live / 4] as number;
    const rowTop = this.#header[TABLE.rowTop / 4] as number;
    return {
      rows: new DataView(table.slice(rowsOffset, rowsOffset + rowTop * ROW.stride)),
      order: new Uint32Array(table.slice(orderOffset, orderOffset + live * 4)),
      names: copyInterner(names),
      profiles: copyInterner(profiles),
    };
  }
}

/** A row as it was decoded. */
interface Decoded {
  readonly info: MemberInfo;
  /** Status, flags and generation in one word; the generation tells another member in the same row. */
  readonly state: number;
  readonly ext: number;
  readonly profileId: number;
  /** Ids are used again: the hash and length of the bytes tell whether this one still means the same. */
  readonly profileHash: number;
  readonly profileLength: number;
}

interface TableCopy {
  readonly rows: DataView;
  readonly order: Uint32Array;
  readonly names: InternerCopy;
  readonly profiles: InternerCopy;
}

interface InternerCopy {
  readonly entries: DataView;
  readonly heap: Uint8Array;
}

function copyInterner(arena: Arena): InternerCopy {
  const { entriesOffset, heapOffset } = internerSections(arena);
  const words = new Uint32Array(arena, 0, INTERNER.headsOffset / 4);
  const entriesEnd = entriesOffset + (words[INTERNER.idTop / 4] as number) * INTERNER_ENTRY.stride;
  const heapEnd = heapOffset + (words[INTERNER.heapTop / 4] as number);
  return {
    entries: new DataView(arena.slice(entriesOffset, entriesEnd)),
    heap: new Uint8Array(arena.slice(heapOffset, heapEnd)),
  };
}

function bytesOfId(interner: InternerCopy, id: number): Uint8Array {
  const at = (id - 1) * INTERNER_ENTRY.stride;
  const offset = interner.entries.getUint32(at + INTERNER_ENTRY.offset, true);
  const length = interner.entries.getUint32(at + INTERNER_ENTRY.length, true);
  return interner.heap.subarray(offset, offset + length);
}

/** Most members of a cluster say the same six bytes: they share one array. */
let lastVersions: readonly number[] = Object.freeze([0, 0, 0, 0, 0, 0]);

function versionsOf(profile: Uint8Array): readonly number[] {
  for (let i = 0; i < lastVersions.length; i++) {
    if (profile[PROFILE.vsn + i] === lastVersions[i]) continue;
    lastVersions = Object.freeze([...profile.subarray(PROFILE.vsn, PROFILE.vsn + lastVersions.length)]);
    break;
  }
  return lastVersions;
}

/** Address, metadata and versions of an interned profile. The metadata is a copy. */
export function decodeProfile(profile: Uint8Array): Pick<MemberInfo, 'address' | 'meta' | 'vsn'> {
  const ipLength = profile[PROFILE.ipLength] as number;
  const ipEnd = PROFILE.ip + ipLength;
  return {
    address: {
      ip: profile.slice(PROFILE.ip, ipEnd),
      port: ((profile[PROFILE.port] as number) << 8) | (profile[PROFILE.port + 1] as number),
    },
    meta: profile.slice(ipEnd),
    vsn: versionsOf(profile),
  };
}
