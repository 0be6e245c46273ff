/**
 * The port between the engine and its kernels. A kernel is one data structure whose whole state lies in one arena; two
 * engines work on the same bytes: the TypeScript twin (`js/`), which is the specification, and C++ (`native/kernels/`).
 * Both must leave the same bytes behind after the same calls (test/kernels/*.twin.test.ts).
 *
 * Conventions: methods take numbers and kernels, data is already in the arena; a result >= 0 is a count, < 0 a status.
 * Nothing allocates after attach. Nothing throws but for programmer errors.
 */

/** memory that a kernel borrows; shared when other threads read it. */
export type Arena = ArrayBuffer | SharedArrayBuffer;

export type BackendName = 'native' | 'js';

/** Member status, as memberlist numbers it on the wire (protocol §4.2). */
export const STATUS = { alive: 0, suspect: 1, dead: 2, left: 3 } as const;
export type Status = (typeof STATUS)[keyof typeof STATUS];
/** Status a record may carry that we do not know. */
export const STATUS_UNKNOWN = 255;

/** Message type bytes (protocol §4.1). Append only: never renumber. 200 is hearsay's own. */
export const MESSAGE = {
  ping: 0,
  indirectPing: 1,
  ack: 2,
  suspect: 3,
  alive: 4,
  dead: 5,
  pushPull: 6,
  compound: 7,
  user: 8,
  compress: 9,
  encrypt: 10,
  nack: 11,
  hasCrc: 12,
  error: 13,
  /** A user broadcast with origin and id, so that receivers can pass it on once. Only to members that announced EXT. */
  rumor: 200,
  /** Delta push-pull: digests and differing rows. On streams, only with members that announced EXT.deltaSync. */
  sync: 201,
  /** Push-pull averaging: one half of an exchange. Only to members that announced EXT.averaging. */
  average: 202,
  /** A piece of replicated state (docs/wire.md §11), whatever it says. Only to members that announced EXT.state. */
  state: 203,
  label: 244,
} as const;

/**
 * hearsay's extension word: an unsigned integer under the map key "Hs", which memberlist readers skip. Carried in alive,
 * node state, ping and ack. Its presence says "this member is a hearsay node".
 */
export const EXT = {
  /** Always set. */
  present: 1,
  /** The member's process answers but its application thread does not run. */
  stalled: 2,
  /** Understands MESSAGE.sync. */
  deltaSync: 4,
  /** Understands MESSAGE.average. */
  averaging: 8,
  /** Runs the fast profile: may be suspected and declared dead on its terms. */
  fast: 16,
  /** Has opened a replicated map: understands MESSAGE.state. */
  state: 32,
  /** Bits 8..31: raised by the member with each change of the word, so that newer wins. */
  sequenceShift: 8,
} as const;
export const EXT_KEY = 'Hs';

/** Why a datagram or body was dropped. Counted in stats under these names. Append only. */
export const REJECT = {
  none: 0,
  empty: 1,
  crcMismatch: 2,
  unknownType: 3,
  malformed: 4, // msgpack that cannot be read
  truncated: 5, // a body or compound cut short
  nestedTooDeep: 6, // compounds and compressions inside each other, more than NESTING_MAX
  lzwCorrupt: 7,
  oversized: 8, // decompressed size or record count above its limit
  fieldInvalid: 9, // a field outside its range: name length, address length, metadata length
  labelMismatch: 10,
  labelMalformed: 11,
  decryptFailed: 12,
  notEncrypted: 13,
} as const;
export type RejectCode = (typeof REJECT)[keyof typeof REJECT];

export const NESTING_MAX = 4;
export const NAME_BYTES_MAX = 512;
export const META_BYTES_MAX = 512;
/** A profile is vsn (6), port (u16 big-endian), IP length (u8), IP, metadata. */
export const PROFILE = { vsn: 0, port: 6, ipLength: 8, ip: 9 } as const;

/** Why merge() stopped before the last record; the engine grows that arena and goes on. */
export const NEED = { none: 0, out: 1, rows: 2, names: 3, profiles: 4 } as const;

export const CHANGE_KIND = {
  /** Became alive, or news about an alive member (new address, metadata, incarnation). */
  alive: 1,
  suspect: 2,
  /** Somebody else suspects a member that is already under suspicion; the engine decides whether it counts. */
  confirm: 3,
  /** Dead or left, see status. */
  dead: 4,
  /** We were accused, or imitated: our incarnation was raised, our alive message must go out. */
  refute: 5,
  /** Another address claims a name we know. */
  conflict: 6,
  /** A dead or left row was removed. slot is already free, nameId may be reused. */
  reap: 7,
  /** Only the extension word changed. */
  ext: 8,
} as const;

export const CHANGE_FLAG = {
  /** The news is worth passing on. */
  rebroadcast: 1,
  /** A suspicion of this member was running and is over. */
  suspicionEnded: 2,
  metaChanged: 4,
  /** The row was created by this record. */
  created: 8,
  addressChanged: 16,
  /** The stalled bit of the extension word changed. */
  stallChanged: 32,
  /** The change is about the local member. */
  self: 64,
} as const;

export const MERGE_FLAG = {
  /** The record is our own start or metadata update: no refutation (protocol §9.2 step 9). */
  bootstrap: 1,
} as const;

export const LANE = { membership: 0, user: 1 } as const;
/** Parts in one compound that we send. Releases before memberlist v0.2.4 misread 128 and more. */
export const COMPOUND_PARTS_MAX = 127;

/** What a pick may be. */
export const PICK = { alive: 1, suspect: 2, dead: 4, left: 8 } as const;

interface Kernel {
  readonly backend: BackendName;
  readonly arena: Arena;
  /** Views of the arena, replaced by rehome(). */
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  /** Go on in a bigger arena made by grow.ts; the old one is no longer touched. */
  rehome(arena: Arena): void;
}

/**
 * Byte strings stored once, known by small dense ids from 1 up, with a reference count. Names and profiles (address,
 * port, versions, metadata) of all tables of a thread share two interners. Free ids are reused last-freed-first, new ids
 * count up. Chains are newest first. Hash: 32-bit murmur3 (x86_32) of the bytes with header word hashSeed.
 */
export interface Interner extends Kernel {
  readonly capacity: number;
  /** Id of these bytes, adding a reference; 0 when there is no id or heap room left. At most BLOCK_BYTES_MAX bytes. */
  intern(bytes: Uint8Array): number;
  /** Id of these bytes without a reference; 0 when unknown. */
  lookup(bytes: Uint8Array): number;
  retain(id: number): void;
  /** Drops a reference; at none left the id and block are freed and zeroed. */
  release(id: number): void;
  /** View of the bytes, valid until the next call that changes the interner. */
  bytes(id: number): Uint8Array;
}

/**
 * Validates datagrams and push/pull bodies and lists their messages as fixed records. Shared by all engines of a thread:
 * its content lives for one turn.
 */
export interface PacketCodec extends Kernel {
  readonly packetCapacity: number;
  readonly recordCapacity: number;
  /** Absolute offset and length of the inbox that drivers copy datagrams into. */
  readonly inboxOffset: number;
  readonly inboxBytes: number;
  /** Absolute offset of packet descriptor and record sections. */
  readonly packetsOffset: number;
  readonly recordsOffset: number;

  /**
   * Reads `count` datagrams (PACKET descriptors 0..count-1; plaintext, label and encryption already removed): checks the
   * CRC where there is one, unpacks compounds and LZW (into scratch), decodes every message into a record. A datagram is
   * accepted whole (result 0) or rejected whole (-REJECT, recordCount 0, its records taken back). Parts of an unknown type inside a
   * compound are passed over and counted in skippedParts. A top-level message of unknown type is rejected. When the
   * record section is full the rest is rejected as oversized. Resets recordCount, scratchTop and skippedParts first.
   * Returns the number of records.
   */
  index(count: number): number;

  /**
   * Reads `nodes` node states from the inbox (inboxTop says how many bytes) starting at relative offset `from`, into
   * records 0..nodes-1 (kind 6). Returns the relative offset behind the last one, or -REJECT; then no record counts. An entry that can be
   * read but has a field outside its limits gets RECORD_FLAG.refused and is counted in skippedParts.
   */
  indexState(from: number, nodes: number): number;

  /** LZW-decodes arena bytes [offset, offset+length) into `out`; returns the length, or -REJECT (lzwCorrupt, oversized). */
  decompress(source: Uint8Array, out: Uint8Array): number;
  /** LZW-encodes; returns the length, or -1 when it would not be shorter than out.length (give up early: no gain). */
  compress(source: Uint8Array, out: Uint8Array): number;
}

/**
 * The members one node knows, and the state machine of protocol §9: the only place where incarnations are compared
 * (`supersedes`, precedence.ts and precedence.hpp).
 */
export interface MemberTable extends Kernel {
  readonly names: Interner;
  readonly profiles: Interner;
  readonly capacity: number;
  /** Absolute offsets of the sections. */
  readonly outOffset: number;
  readonly picksOffset: number;
  readonly rowsOffset: number;
  readonly orderOffset: number;
  readonly slotOfOffset: number;

  /**
   * Applies records [first, first + count) of the codec in order: alive (§9.2), suspect (§9.3), dead (§9.4), node state
   * (§7.6: alive as alive; left as dead from itself; dead and suspect as suspect from us). Other kinds and records flagged
   * `refused` are passed over. Lists effects in OUT (outCount; reset by each call). Returns how many records were used up;
   * fewer than count means `need` says what to grow (or drain OUT) before calling again.
   *
   * Steps with callbacks (alive and CIDR filters) happen before, through RECORD_FLAG.refused. A refutation raises
   * TABLE.incarnation and our row here; the engine adds the health penalty and sends.
   * A suspicion that starts sets ROW_FLAG.suspicion; one that ends clears it and says so in the change.
   */
  merge(nowMs: number, codec: PacketCodec, first: number, count: number, flags: number): number;

  /**
   * The same for one piece of local news without a record: kind MESSAGE.suspect or MESSAGE.dead about `slot` at
   * `incarnation`, from ourselves (a dead about the local slot is a leave when TABLE.leaving is set).
   * Returns 1 if a change was listed, else 0.
   */
  accuse(nowMs: number, slot: number, kind: number, incarnation: number): number;

  /** Slot of a name, or -1. */
  find(name: Uint8Array): number;
  /** Slot of a name id, or -1. */
  slotOf(nameId: number): number;

  /**
   * Next slot to probe, walking the order list (§11.1): skips self, dead and left; at the end of the list reaps (§14.3) dead
   * and left rows older than `reapAfterMs` (CHANGE_KIND.reap in OUT), shuffles, and goes on from the start. Gives up after as many
   * steps as there are rows: -1. Reaping stops when OUT is full and goes on at the next wrap.
   */
  nextProbe(nowMs: number, reapAfterMs: number): number;

  /**
   * Up to `count` distinct random slots (§14.4) into the picks section; returns how many. `mask` is of PICK bits; dead ones only when
   * their status is at most `deadForMs` old. Never self, never `exceptSlot` (-1 = none).
   */
  sample(nowMs: number, count: number, mask: number, deadForMs: number, exceptSlot: number): number;

  /** Sets our own extension word in our row (no incarnation change). */
  setOwnExt(ext: number): void;
  /** Notes an extension word heard directly (ping, ack). Returns 1 if it was newer and a change was listed, else 0. */
  noteExt(slot: number, ext: number): number;

  /**
   * Writes all rows in order-list order as push/pull node states (§7.6; key "Hs" where the row has an extension word) into `out` from `at`.
   * Returns the end offset, or -(bytes needed in all) when `out` is too small.
   */
  encodeState(out: Uint8Array, at: number): number;
}

/**
 * News waiting to be passed on, each at most `transmitLimit` times (protocol §10). Order inside a lane:
 *   1. fewer transmits first, 2. longer first, 3. newer first.
 * Taking for one packet: tiers of equal transmits from low to high; in a tier the first whose length fits what is left;
 * a message is taken at most once per packet.
 */
export interface BroadcastQueue extends Kernel {
  readonly capacity: number;
  readonly requestCapacity: number;
  readonly requestsOffset: number;
  readonly packetsOffset: number;
  readonly finishedOffset: number;
  readonly entriesOffset: number;
  readonly itemsOffset: number;
  readonly inOffset: number;
  readonly inBytes: number;
  readonly outOffset: number;
  readonly outBytes: number;

  /**
   * Queues items 0..count-1 (QUEUE_ITEM descriptors; message bytes in the in section). An item with a key replaces a queued
   * entry of the same key. When entries or heap run out, the last entry in order of the user lane, else of the same
   * lane, is evicted. Replaced and evicted entries with a token are listed in finished (finishedCount is reset by each call).
   * Returns the number queued.
   */
  enqueue(count: number): number;

  /**
   * Fills `count` packets as the requests say (lead message first, then broadcasts, as one compound when there is more than
   * one message; at most COMPOUND_PARTS_MAX parts) into the out section. `userShare` is the part of each limit, in
   * 1/256, kept for the user lane while it has something that fits; what one lane leaves the other may use. Entries that reach
   * `transmitLimit` leave the queue and, with a token, are listed in finished. Returns the number of packets with length > 0.
   */
  fill(count: number, transmitLimit: number, userShare: number): number;

  /** Drops the entry of this key, if any. */
  invalidate(key: number): void;
  /** Keeps the first `keep` entries of a lane in queue order. */
  prune(lane: number, keep: number): void;
}

/**
 * Fingerprints of a member table, so that two nodes find the rows in which they differ by exchanging few bytes. Lives for one call
 * of the engine: nothing is kept from table to table, so all engines of a thread may share one.
 *
 * The item of a row is 64 bits: its name half is the upper half of the SipHash of the name, its state half a hash of name, profile,
 * incarnation, status, extension word and salt. For a suspect row profile and extension word do not count, for dead and left rows
 * nothing does: they are no items, because two nodes that know a member as gone have nothing to tell each other (they may have learned
 * it differently, and forget it at different times). The keyed hashes of names and profiles are kept in the interners.
 */
export interface Digest extends Kernel {
  /** Rows at most. */
  readonly capacity: number;
  readonly cellCapacity: number;
  readonly rangeCapacity: number;
  readonly nameCapacity: number;
  readonly itemsOffset: number;
  readonly rangesOffset: number;
  readonly namesOffset: number;
  readonly slotsOffset: number;

  /**
   * Hashes all rows of a table of the same backend under DIGEST.key and DIGEST.salt, which the caller has set; writes items (by slot), DIGEST.sum
   * and HEADER.live. Returns the number of items, -1 when the table has more rows than `capacity`.
   */
  hashTable(table: MemberTable): number;

  /** Sums of the mixed items by the upper `bits` bits of the name half: 2^bits ranges, at most rangeCapacity. Returns 2^bits. */
  rangeSums(bits: number): number;

  /**
   * Writes a sketch of `cells` cells (a multiple of 4, at most cellCapacity) of all items, DIGEST_CELL_BYTES each, to `out` from `at`. Returns the end
   * offset, or -(bytes needed in all).
   */
  sketch(cells: number, out: Uint8Array, at: number): number;

  /**
   * Takes their sketch of `cells` cells from `source` at `at`, subtracts ours and lists the name halves of all differing items in names
   * (a name may come twice). Returns how many, or -1: the differences are more than the sketch or the list can tell, or the sketch is none.
   */
  peel(cells: number, source: Uint8Array, at: number): number;

  /**
   * Lists in slots the rows, gone ones included, whose name half is one of the first `count` names, in order of slots; the names without a
   * row, each once, are then the first DIGEST.unmatched ones. Returns the number of slots.
   */
  match(count: number): number;

  /**
   * XXH3-64 of many values in one call: value i ends (exclusive) at the u32 `ends[4i]` of `source` and starts where the one before ended; its hash goes to
   * `out[8i]` as u64. All little-endian. Returns the number of values hashed; fewer than there are when ends are out of order or beyond the source.
   */
  hashValues(source: Uint8Array, ends: Uint8Array, out: Uint8Array, seed: number): number;
}

/**
 * Rows of a member table as compact blocks, and blocks as records of a codec (docs/wire.md §9). A block is columns with shared prefixes of names and addresses, a
 * dictionary for versions and metadata, variable-length integers, and a checksum. Lives for one call of the engine.
 */
export interface Delta extends Kernel {
  /** Rows per encode() at most. */
  readonly capacity: number;
  readonly blockBytes: number;
  readonly slotsOffset: number;
  readonly outOffset: number;

  /**
   * Encodes rows slots[first..first + count) of a table of the same backend into one block of at most `budgetBytes` (at most blockBytes) in out; DELTA.outLength is its length. Slots of free
   * rows are passed over. Returns how many slots were used up: go on from there. 0 = not even one row fits.
   */
  encode(table: MemberTable, first: number, count: number, budgetBytes: number): number;

  /**
   * Reads one block at [from, from + length) of the codec's inbox (relative) into records 0.. of that codec, kind 6, as indexState() would leave them. Returns the number of records, or
   * -REJECT; then no record counts. oversized = the block is too long or the codec needs more records or scratch; the head of the block says how much.
   */
  decode(codec: PacketCodec, from: number, length: number): number;
}

/** What delta push-pull works with. */
export interface SyncKernels {
  readonly digest: Digest;
  readonly delta: Delta;
}

/** What one engine works with. Codec and interners may be shared by all engines of a thread. */
export interface EngineKernels {
  readonly codec: PacketCodec;
  /** A second codec for push/pull bodies, grown to the body at hand. */
  readonly stateCodec: PacketCodec;
  readonly names: Interner;
  readonly profiles: Interner;
  readonly table: MemberTable;
  readonly queue: BroadcastQueue;
  /** Made when first used; may be shared by all engines of a thread. */
  readonly sync: SyncKernels;
}
