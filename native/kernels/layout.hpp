// Byte offsets and codes of every arena: the C++ half of src/kernels/layout.ts and src/kernels/contract.ts.
//
// One table feeds both the constants (`layout::row::nameId`) and the object that the addon's `abi()` returns, so a
// number cannot be right in one place and wrong in the other; test/kernels/abi.test.ts compares that object with the
// TypeScript constants, key by key, in both directions. Names are those of the TypeScript side on purpose: search for
// one, find both.
#pragma once

#include <cstdint>

// Tables are easier to read by hand.
// clang-format off

/// X(C++ name, TypeScript name, value)
#define HEARSAY_SCALARS(X) \
  X(kLayoutVersion, LAYOUT_VERSION, 1) X(kArenaMagic, ARENA_MAGIC, 0x59535248) X(kHeaderBytes, HEADER_BYTES, 64)      \
  X(kBlockBytesMax, BLOCK_BYTES_MAX, 2048) X(kBlockClassBytes, BLOCK_CLASS_BYTES, 16)                                 \
  X(kBlockClassCount, BLOCK_CLASS_COUNT, 128) X(kNoRecord, NO_RECORD, 0xffffffff)                                     \
  X(kStatusUnknown, STATUS_UNKNOWN, 255) X(kNestingMax, NESTING_MAX, 4) X(kNameBytesMax, NAME_BYTES_MAX, 512)         \
  X(kMetaBytesMax, META_BYTES_MAX, 512) X(kCompoundPartsMax, COMPOUND_PARTS_MAX, 127) \
  X(kDigestCellBytes, DIGEST_CELL_BYTES, 13) X(kDeltaBlockBytesMax, DELTA_BLOCK_BYTES_MAX, 65536) X(kDeltaColumns, DELTA_COLUMNS, 5)                                       \
  X(kDeltaRowBytesMax, DELTA_ROW_BYTES_MAX, 1152)

#define HEARSAY_KERNEL_ID(X) \
  X(interner, 1) X(packetCodec, 2) X(memberTable, 3) X(broadcastQueue, 4) X(digest, 5) X(delta, 6)

#define HEARSAY_HEADER(X) \
  X(magic, 0) X(layoutVersion, 4) X(kernelId, 8) X(capacity, 12) X(live, 16) X(flags, 20) X(prng, 24)                 \
  X(byteLength, 40) X(seq, 44) X(changeCount, 48) X(home, 52)

#define HEARSAY_INTERNER(X) \
  X(bucketCount, 64) X(heapBytes, 68) X(heapTop, 72) X(freeId, 76) X(idTop, 80) X(hashSeed, 84) X(hashKey, 88)        \
  X(hashEpoch, 104) X(headsOffset, 128) X(bucketsOffset, 640)

#define HEARSAY_INTERNER_ENTRY(X) \
  X(hash, 0) X(next, 4) X(offset, 8) X(length, 12) X(refs, 16) X(hashEpoch, 20) X(hash64, 24)       \
  X(stride, 32)

#define HEARSAY_CODEC(X) \
  X(recordCapacity, 64) X(inboxBytes, 68) X(scratchBytes, 72) X(packetCount, 76) X(recordCount, 80) X(inboxTop, 84)   \
  X(scratchTop, 88) X(skippedParts, 92) X(packetsOffset, 128)

#define HEARSAY_PACKET(X) \
  X(offset, 0) X(length, 4) X(result, 8) X(firstRecord, 12) X(recordCount, 16) X(peerPort, 20) X(peerIpLength, 22)    \
  X(flags, 23) X(peerIp, 24) X(localIp, 40) X(reserved, 44) X(stride, 48)

#define HEARSAY_RECORD(X) \
  X(kind, 0) X(flags, 1) X(port, 2) X(packet, 4) X(number, 8) X(nameOffset, 12) X(nameLength, 16) X(fromOffset, 20)   \
  X(fromLength, 24) X(ipOffset, 28) X(ipLength, 32) X(dataOffset, 36) X(dataLength, 40) X(vsn, 44) X(vsnLength, 50)   \
  X(status, 51) X(sourceIpOffset, 52) X(sourceIpLength, 56) X(nack, 57) X(sourcePort, 58) X(ext, 60) X(stride, 64)

#define HEARSAY_RECORD_FLAG(X) \
  X(refused, 1)

#define HEARSAY_TABLE(X) \
  X(selfSlot, 64) X(incarnation, 68) X(probeIndex, 72) X(freeRow, 76) X(rowTop, 80) X(nameCapacity, 84)               \
  X(outCapacity, 88) X(outCount, 92) X(need, 96) X(aliveCount, 100) X(suspectCount, 104) X(deadCount, 108)            \
  X(leftCount, 112) X(leaving, 116) X(pickCapacity, 120) X(defaultPort, 124) X(deadReclaimMs, 128)                    \
  X(outOffset, 192)

#define HEARSAY_CHANGE(X) \
  X(kind, 0) X(prevStatus, 1) X(status, 2) X(flags, 3) X(slot, 4) X(incarnation, 8) X(record, 12) X(nameId, 16)       \
  X(ext, 20) X(reserved, 24) X(stride, 32)

#define HEARSAY_ROW(X) \
  X(nameId, 0) X(profileId, 4) X(incarnation, 8) X(status, 12) X(flags, 13) X(generation, 14) X(statusSinceMs, 16)    \
  X(orderIndex, 24) X(ext, 28) X(stride, 32)

#define HEARSAY_ROW_FLAG(X) \
  X(suspicion, 1) X(self, 2)

#define HEARSAY_QUEUE(X) \
  X(nextId, 64) X(heapBytes, 72) X(heapTop, 76) X(freeEntry, 80) X(entryTop, 84) X(laneCount0, 88)                    \
  X(laneCount1, 92) X(indexBuckets, 96) X(requestCapacity, 100) X(finishedCapacity, 104) X(finishedCount, 108)        \
  X(inBytes, 112) X(outBytes, 116) X(inItemCapacity, 120) X(evictedCount, 124) X(invalidatedCount, 128)               \
  X(transmittedCount, 132) X(oldestBlock, 136) X(newestBlock, 140) X(laneBytes0, 144) X(laneBytes1, 148)               \
  X(userCredit, 152) X(requestsOffset, 192)

#define HEARSAY_QUEUE_REQUEST(X) \
  X(leadOffset, 0) X(leadLength, 4) X(limit, 8) X(flags, 12) X(stride, 16)

#define HEARSAY_REQUEST_FLAG(X) \
  X(extended, 1)

#define HEARSAY_QUEUE_PACKET(X) \
  X(offset, 0) X(length, 4) X(parts, 8) X(reserved, 12) X(stride, 16)

#define HEARSAY_QUEUE_ENTRY(X) \
  X(key, 0) X(offset, 4) X(length, 8) X(transmits, 12) X(id, 16) X(token, 24) X(prefix, 28) X(lane, 30)               \
  X(state, 31) X(next, 32) X(previous, 36) X(stride, 40)

#define HEARSAY_QUEUE_ITEM(X) \
  X(key, 0) X(offset, 4) X(length, 8) X(token, 12) X(prefix, 16) X(lane, 20) X(transmits, 22) X(stride, 24)

#define HEARSAY_DIGEST(X) \
  X(key, 64) X(salt, 80) X(sum, 84) X(cellCapacity, 92) X(rangeCapacity, 96) X(nameCapacity, 100) X(lookupSize, 104)  \
  X(unmatched, 108) X(rows, 112) X(itemsOffset, 128)

#define HEARSAY_DIGEST_ITEM(X) \
  X(state, 0) X(name, 4) X(stride, 8)

#define HEARSAY_DIGEST_CELL(X) \
  X(state, 0) X(name, 4) X(check, 8) X(count, 12) X(stride, 16)

#define HEARSAY_DELTA(X) \
  X(blockBytes, 64) X(dictionaryCapacity, 68) X(outLength, 72) X(dictionaryCount, 76) X(slotsOffset, 128)

#define HEARSAY_DELTA_ENTRY(X) \
  X(offset, 0) X(length, 4) X(stride, 8)

#define HEARSAY_DELTA_COLUMN(X) \
  X(flags, 0) X(names, 1) X(numbers, 2) X(addresses, 3) X(strings, 4)

#define HEARSAY_DELTA_FLAG(X) \
  X(status, 3) X(ip16, 4) X(samePort, 8) X(ext, 16) X(sameVsn, 32) X(sameMeta, 64) X(sameIp, 128)

#define HEARSAY_STATUS(X) \
  X(alive, 0) X(suspect, 1) X(dead, 2) X(left, 3)

#define HEARSAY_MESSAGE(X) \
  X(ping, 0) X(indirectPing, 1) X(ack, 2) X(suspect, 3) X(alive, 4) X(dead, 5) X(pushPull, 6) X(compound, 7)          \
  X(user, 8) X(compress, 9) X(encrypt, 10) X(nack, 11) X(hasCrc, 12) X(error, 13) X(rumor, 200)        \
  X(sync, 201) X(average, 202) X(state, 203) X(label, 244)

#define HEARSAY_EXT(X) \
  X(present, 1) X(stalled, 2) X(deltaSync, 4) X(averaging, 8) X(fast, 16) X(state, 32) X(sequenceShift, 8)

#define HEARSAY_REJECT(X) \
  X(none, 0) X(empty, 1) X(crcMismatch, 2) X(unknownType, 3) X(malformed, 4) X(truncated, 5) X(nestedTooDeep, 6)      \
  X(lzwCorrupt, 7) X(oversized, 8) X(fieldInvalid, 9) X(labelMismatch, 10) X(labelMalformed, 11)                      \
  X(decryptFailed, 12) X(notEncrypted, 13)

#define HEARSAY_PROFILE(X) \
  X(vsn, 0) X(port, 6) X(ipLength, 8) X(ip, 9)

#define HEARSAY_NEED(X) \
  X(none, 0) X(out, 1) X(rows, 2) X(names, 3) X(profiles, 4)

#define HEARSAY_CHANGE_KIND(X) \
  X(alive, 1) X(suspect, 2) X(confirm, 3) X(dead, 4) X(refute, 5) X(conflict, 6) X(reap, 7) X(ext, 8)

#define HEARSAY_CHANGE_FLAG(X) \
  X(rebroadcast, 1) X(suspicionEnded, 2) X(metaChanged, 4) X(created, 8) X(addressChanged, 16) X(stallChanged, 32)    \
  X(self, 64)

#define HEARSAY_MERGE_FLAG(X) \
  X(bootstrap, 1)

#define HEARSAY_LANE(X) \
  X(membership, 0) X(user, 1)

#define HEARSAY_PICK(X) \
  X(alive, 1) X(suspect, 2) X(dead, 4) X(left, 8)

/// Every group: X(macro suffix, namespace).
#define HEARSAY_GROUPS(X) \
  X(KERNEL_ID, kernel_id) X(HEADER, header) X(INTERNER, interner) X(INTERNER_ENTRY, interner_entry) X(CODEC, codec)   \
  X(PACKET, packet) X(RECORD, record) X(RECORD_FLAG, record_flag) X(TABLE, table) X(CHANGE, change) X(ROW, row)       \
  X(ROW_FLAG, row_flag) X(QUEUE, queue) X(QUEUE_REQUEST, queue_request) X(REQUEST_FLAG, request_flag)                 \
  X(QUEUE_PACKET, queue_packet) X(QUEUE_ENTRY, queue_entry) X(QUEUE_ITEM, queue_item) X(DIGEST, digest)               \
  X(DIGEST_ITEM, digest_item) X(DIGEST_CELL, digest_cell) X(DELTA, delta) X(DELTA_ENTRY, delta_entry)                 \
  X(DELTA_COLUMN, delta_column) X(DELTA_FLAG, delta_flag)                                                             \
  X(STATUS, status)                                                                                                   \
  X(MESSAGE, message) X(EXT, ext) X(REJECT, reject) X(PROFILE, profile) X(NEED, need) X(CHANGE_KIND, change_kind)     \
  X(CHANGE_FLAG, change_flag) X(MERGE_FLAG, merge_flag) X(LANE, lane) X(PICK, pick)

// clang-format on

namespace hearsay::layout {

/// Map key of hearsay's extension word (EXT_KEY).
inline constexpr char kExtKey[] = "Hs";

#define HEARSAY_DEFINE_SCALAR(cpp, ts, value) inline constexpr uint32_t cpp = value;
HEARSAY_SCALARS(HEARSAY_DEFINE_SCALAR)
#undef HEARSAY_DEFINE_SCALAR

#define HEARSAY_DEFINE_ENTRY(name, value) inline constexpr uint32_t name = value;
#define HEARSAY_DEFINE_GROUP(suffix, space) \
  namespace space {                         \
  HEARSAY_##suffix(HEARSAY_DEFINE_ENTRY)    \
  }
HEARSAY_GROUPS(HEARSAY_DEFINE_GROUP)
#undef HEARSAY_DEFINE_GROUP
#undef HEARSAY_DEFINE_ENTRY

/// Rounds up to the alignment of sections.
constexpr uint64_t align8(uint64_t bytes) { return (bytes + 7) & ~uint64_t{7}; }

}  // namespace hearsay::layout
