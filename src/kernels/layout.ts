/**
 * Byte offsets of every arena, the single source for the TypeScript twins. `native/kernels/layout.hpp` holds the same
 * numbers and test/kernels/abi.test.ts compares the two. docs/boundary.md draws the pictures.
 *
 * Rules for all arenas: little-endian, sections 8-byte aligned, links are indices (slot + 1, so that zeroed memory
 * means "none"), fresh and freed memory is zero. Offsets called "relative" count from the start of a heap section so
 * that an arena can be grown by copying sections.
 */

export const LAYOUT_VERSION = 1;
/** "HRSY" in little-endian. */
export const ARENA_MAGIC = 0x59535248;

export const KERNEL_ID = {
  interner: 1,
  packetCodec: 2,
  memberTable: 3,
  broadcastQueue: 4,
  digest: 5,
  delta: 6,
} as const;

/** The first 64 bytes of every arena. All u32 unless said otherwise. */
export const HEADER = {
  magic: 0,
  layoutVersion: 4,
  kernelId: 8,
  /** Maximum number of entries (ids, packets, rows, queue entries). */
  capacity: 12,
  /** Entries in use now. */
  live: 16,
  flags: 20,
  /** Four words of sfc32 state. */
  prng: 24,
  /** Total arena length in bytes; attach refuses an arena whose buffer is shorter. */
  byteLength: 40,
  /** Sequence lock: odd while the owner writes. Readers on other threads retry. */
  seq: 44,
  /** Raised whenever a row changed in a way a reader can see. */
  changeCount: 48,
  /** Member table only: raised when the table or one of its interners went on in another arena, in the old table too. */
  home: 52,
} as const;
export const HEADER_BYTES = 64;

/** Largest block a heap hands out; blocks come in 128 classes of 16 bytes. */
export const BLOCK_BYTES_MAX = 2048;
export const BLOCK_CLASS_BYTES = 16;
export const BLOCK_CLASS_COUNT = BLOCK_BYTES_MAX / BLOCK_CLASS_BYTES;

/**
 * A heap of byte blocks inside an arena. `heads` are BLOCK_CLASS_COUNT u32 words, word c - 1 being the free list of
 * class c (blocks of 16c bytes): relative offset + 1 of the first free block, whose first u32 links to the next in the
 * same form. A freed block is zeroed but for that link.
 */

/** Interner: header 64, sub-header 64, heads, buckets, entries, heap. */
export const INTERNER = {
  bucketCount: 64, // power of two, >= 2 x capacity
  heapBytes: 68, // size of the heap section
  heapTop: 72, // relative end of the bump-allocated part
  freeId: 76, // head of the list of free ids (linked through entry.next), 0 = none
  idTop: 80, // highest id ever used
  hashSeed: 84,
  hashKey: 88, // four words: the SipHash key of the hashes kept in the entries
  hashEpoch: 104, // raised with each new key; 0 = no key yet
  headsOffset: 128,
  bucketsOffset: 128 + BLOCK_CLASS_COUNT * 4, // u32 per bucket: id of the chain head, 0 = none
} as const;
/** Entry of id i lies at entriesOffset + (i - 1) * INTERNER_ENTRY.stride. */
export const INTERNER_ENTRY = {
  hash: 0,
  next: 4,
  offset: 8,
  length: 12,
  refs: 16,
  hashEpoch: 20,
  hash64: 24,
  stride: 32,
} as const;
/** hash64 (u64) is the keyed hash of the bytes, made when first asked for; it counts while hashEpoch is the interner's. */

/** PacketCodec: header 64, sub-header 64, packets, records, bytes (inbox), scratch. */
export const CODEC = {
  recordCapacity: 64,
  inboxBytes: 68,
  scratchBytes: 72,
  packetCount: 76, // written by the driver before index()
  recordCount: 80, // written by index()
  inboxTop: 84, // relative end of the used inbox, written by the driver
  scratchTop: 88, // relative end of the used scratch, written by index()
  skippedParts: 92, // parts of unknown type that the last index() passed over
  packetsOffset: 128,
} as const;
/** A datagram in the inbox. `offset` is absolute in the arena. */
export const PACKET = {
  offset: 0,
  length: 4,
  result: 8, // i32: 0 accepted, else -REJECT code
  firstRecord: 12,
  recordCount: 16,
  peerPort: 20, // u16
  peerIpLength: 22, // u8: 4 or 16
  flags: 23, // u8
  peerIp: 24, // 16 bytes
  localIp: 40, // 4 bytes: destination IPv4 address when the socket serves many
  reserved: 44,
  stride: 48,
} as const;
/** One decoded message. Offsets are absolute in the codec's arena; a length of 0 leaves the offset 0. */
export const RECORD = {
  kind: 0, // u8: message type byte; 6 = one node state of a push/pull body
  flags: 1, // u8: RECORD_FLAG
  port: 2, // u16: Port (alive, node state, indirect ping)
  packet: 4, // u32: index of the datagram
  number: 8, // u32: Incarnation, or SeqNo
  nameOffset: 12, // Node or Name
  nameLength: 16,
  fromOffset: 20, // From (suspect, dead) or SourceNode (ping, indirect ping)
  fromLength: 24,
  ipOffset: 28, // Addr or Target
  ipLength: 32, // 0, 4 or 16
  dataOffset: 36, // Meta, Payload, or the bytes of a user message
  dataLength: 40,
  vsn: 44, // 6 bytes
  vsnLength: 50, // u8: length that was received, capped at 255
  status: 51, // u8: STATUS of a node state; 255 when it is a value we do not know
  sourceIpOffset: 52, // SourceAddr
  sourceIpLength: 56, // u8
  nack: 57, // u8: Nack of an indirect ping
  sourcePort: 58, // u16
  ext: 60, // u32: hearsay's extension word (EXT), 0 = absent
  stride: 64,
} as const;
export const RECORD_FLAG = {
  /** Set by the engine: a filter refused this record, merge() passes over it. */
  refused: 1,
} as const;

/** MemberTable: header 64, sub-header 128, out, picks, rows, order, slotOf. */
export const TABLE = {
  selfSlot: 64, // slot + 1 of the local member, 0 = none yet
  incarnation: 68, // own incarnation counter (the last one used)
  probeIndex: 72,
  freeRow: 76, // slot + 1, linked through row.ext
  rowTop: 80, // rows ever used
  nameCapacity: 84, // length of slotOf: names.capacity + 1
  outCapacity: 88,
  outCount: 92,
  need: 96, // NEED: why merge() stopped early
  aliveCount: 100,
  suspectCount: 104,
  deadCount: 108,
  leftCount: 112,
  leaving: 116, // 1 once leave() was called
  pickCapacity: 120,
  defaultPort: 124, // replaces port 0 in received records
  deadReclaimMs: 128, // f64, 0 = never
  outOffset: 192,
} as const;
/** What merge() and its siblings did, one record per visible effect. */
export const CHANGE = {
  kind: 0, // u8: CHANGE_KIND
  prevStatus: 1, // u8
  status: 2, // u8
  flags: 3, // u8: CHANGE_FLAG
  slot: 4,
  incarnation: 8,
  record: 12, // index of the codec record behind it, NO_RECORD if none
  nameId: 16,
  ext: 20,
  reserved: 24,
  stride: 32,
} as const;
export const NO_RECORD = 0xffffffff;
export const ROW = {
  nameId: 0, // 0 = free row
  profileId: 4,
  incarnation: 8,
  status: 12, // u8
  flags: 13, // u8: ROW_FLAG
  generation: 14, // u16, raised each time the row is reused: tells a stale slot
  statusSinceMs: 16, // f64: when the status last changed; -1 = never
  orderIndex: 24, // position in the order section
  ext: 28, // extension word; link of the free list while the row is free
  stride: 32,
} as const;
export const ROW_FLAG = { suspicion: 1, self: 2 } as const;
/** order: u32 per row, the probe list, `live` long. slotOf: u32 per name id, slot + 1. picks: u32 each. */

/** BroadcastQueue: header 64, sub-header 128, requests, packets, finished, items, entries, order x 2, index, heap, in, out. */
export const QUEUE = {
  nextId: 64, // f64, restarts at 1 when the queue is empty
  heapBytes: 72,
  heapTop: 76,
  freeEntry: 80, // entry + 1, linked through next
  entryTop: 84,
  laneCount0: 88,
  laneCount1: 92,
  indexBuckets: 96, // power of two, >= 2 x capacity
  requestCapacity: 100, // also the number of output packets
  finishedCapacity: 104, // at least capacity + inItemCapacity, so that no call can overflow the list
  finishedCount: 108,
  inBytes: 112,
  outBytes: 116,
  inItemCapacity: 120,
  evictedCount: 124, // entries pushed out because the queue was full, since creation
  invalidatedCount: 128, // entries replaced by newer ones of the same key, since creation
  transmittedCount: 132, // messages written into packets, since creation (wraps)
  oldestBlock: 136, // entry + 1 of the lowest block in the heap, 0 = none
  newestBlock: 140, // entry + 1 of the highest block in the heap, 0 = none
  laneBytes0: 144, // sum of the message lengths of a lane
  laneBytes1: 148,
  userCredit: 152, // bytes the user lane may claim from the next packets
  requestsOffset: 192,
} as const;
/** A packet to fill: how much room there is and what comes first. */
export const QUEUE_REQUEST = {
  leadOffset: 0, // relative to the in section: a message that goes first (ping, ack...)
  leadLength: 4, // 0 = none
  limit: 8, // bytes for broadcasts, each costing its length + 2
  flags: 12, // REQUEST_FLAG
  stride: 16,
} as const;
export const REQUEST_FLAG = {
  /** The receiver understands hearsay's rumor framing; others get a plain user message. */
  extended: 1,
} as const;
/** A filled packet. `length` 0 = nothing to send. */
export const QUEUE_PACKET = { offset: 0, length: 4, parts: 8, reserved: 12, stride: 16 } as const;
export const QUEUE_ENTRY = {
  key: 0, // name id it speaks about; 0 = never invalidated
  offset: 4, // relative heap offset
  length: 8,
  transmits: 12,
  id: 16, // f64
  token: 24, // given by the engine, reported when finished; 0 = nobody waits
  prefix: 28, // u16: bytes of hearsay framing in front of a rumor's payload, 0 for plain messages
  lane: 30, // u8: LANE
  state: 31, // u8: 0 free, 1 queued, 2 taken by the fill under way
  next: 32, // entry + 1: of the free list while free, else of the block behind this one in the heap
  previous: 36, // entry + 1 of the block before this one in the heap
  stride: 40,
} as const;
/**
 * The heap of the queue is one run of message bytes in the order of their arrival, with holes where entries left.
 * Entries hold at most three quarters of it; when its end is reached the blocks slide down over the holes, which
 * costs at most three moved bytes per byte queued and never fails for want of a block of the right size.
 */
/** An item handed to enqueue(). */
export const QUEUE_ITEM = {
  key: 0,
  offset: 4,
  length: 8,
  token: 12,
  prefix: 16,
  lane: 20,
  /** u16: so many transmits count as made already. */
  transmits: 22,
  stride: 24,
} as const;
/**
 * finished: u32 tokens. order: u32 entry index per lane, sorted. index: u32 entry + 1, open addressing on key with linear
 * probing from bucket (key x 0x9e3779b1 mod 2^32) >> (32 - log2(indexBuckets)).
 */

/** Digest: header 64, sub-header 64, items, ranges, own cells, their cells, names, slots, lookup. */
export const DIGEST = {
  key: 64, // four words: SipHash key of names and profiles
  salt: 80, // mixed into the state half of every item
  sum: 84, // two words, lower half first: sum of all mixed items
  cellCapacity: 92,
  rangeCapacity: 96,
  nameCapacity: 100,
  lookupSize: 104, // power of two, >= 2 x nameCapacity
  unmatched: 108, // names left by the last match()
  rows: 112, // rows of the table that was hashed last, free ones included
  itemsOffset: 128,
} as const;
/** An item: u32 state half (0 = not counted), u32 name half (0 = free row). A range: u64 sum. A name: u32 name half. Lookup: u32 name, u32 flags. */
export const DIGEST_ITEM = { state: 0, name: 4, stride: 8 } as const;
/** A cell of a sketch (invertible Bloom lookup table): xor of items, xor of their checks, number of items mod 256. */
export const DIGEST_CELL = { state: 0, name: 4, check: 8, count: 12, stride: 16 } as const;
/** Bytes of a cell as it travels: count is one byte. */
export const DIGEST_CELL_BYTES = 13;

/** Delta: header 64, sub-header 64, slots, out, columns, dictionary, buckets. */
export const DELTA = {
  blockBytes: 64, // size of out
  dictionaryCapacity: 68, // power of two
  outLength: 72,
  dictionaryCount: 76,
  slotsOffset: 128,
} as const;
/** A string that a later row may refer to. `offset` is relative to the last column (encode) or absolute in the codec's arena (decode). */
export const DELTA_ENTRY = { offset: 0, length: 4, stride: 8 } as const;
export const DELTA_COLUMNS = 5;
/** The longest block that anybody may make, so that a reader knows how much a block can grow into. */
export const DELTA_BLOCK_BYTES_MAX = 65536;
/** The columns of a block. */
export const DELTA_COLUMN = { flags: 0, names: 1, numbers: 2, addresses: 3, strings: 4 } as const;
/**
 * Flags of a row in a block; the lowest two bits are its status. A row that is not alive has no others: it is name, status and
 * incarnation, which is all that anybody reads of it.
 */
export const DELTA_FLAG = {
  status: 3,
  ip16: 4,
  samePort: 8,
  ext: 16,
  sameVsn: 32,
  sameMeta: 64,
  sameIp: 128,
} as const;
/** Most bytes that one row can add to one column; columns are that much longer than a block. */
export const DELTA_ROW_BYTES_MAX = 1152;

/** Rounds up to the alignment of sections. */
export function align8(bytes: number): number {
  return (bytes + 7) & ~7;
}
