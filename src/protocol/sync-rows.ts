import { grownDeltaArena } from '../kernels/arenas/delta.ts';
import { grownPacketCodecArena, settleStateCodec } from '../kernels/arenas/packet-codec.ts';
import { STATUS } from '../kernels/contract.ts';
import { CODEC, DELTA, RECORD, RECORD_FLAG } from '../kernels/layout.ts';
import { blockNeeds } from '../wire/sync-message.ts';
import type { Context } from './context.ts';
import { viewOf } from './dissemination.ts';
import type { Gate } from './gate.ts';
import { type Membership, SOURCE } from './membership.ts';
import { countReject } from './stats.ts';
import { VersionCheck } from './versions.ts';

const VSN_BYTES = 6;

/** What one of us missed alone others may have missed too; more than this is on its way to all of us. */
const FEW_ROWS = 32;

/** Rows of delta push-pull: read, judged by the member table, and written. */
export class SyncRows {
  readonly #context: Context;
  readonly #membership: Membership;
  readonly #gate: Gate;
  readonly #better: number[] = [];
  readonly #heard = new Set<number>();

  constructor(context: Context, membership: Membership, gate: Gate) {
    this.#context = context;
    this.#membership = membership;
    this.#gate = gate;
  }

  /** Slots of the members that the last apply() heard of and that we know otherwise: the sender should hear that. */
  get better(): readonly number[] {
    return this.#better;
  }

  /** Slots that the last apply() did not hear of, but those of members that are gone. */
  unheard(): number[] {
    const { roster } = this.#context;
    return roster.slots().filter((slot) => !this.#heard.has(slot) && roster.status(slot) <= STATUS.suspect);
  }

  /** Merges blocks, or says why not; then nothing of them has been applied. */
  apply(nowMs: number, blocks: readonly Uint8Array[]): string | undefined {
    const { roster, stats, kernels } = this.#context;
    this.#better.length = 0;
    this.#heard.clear();
    if (blocks.length === 0) return undefined;
    const versions = new VersionCheck();
    roster.addVersions(versions);
    const codec = kernels.stateCodec;
    // Reads all before anything is applied. A single block stays read.
    let total = 0;
    for (const block of blocks) {
      const rows = this.#read(block);
      total += rows;
      if (rows < 0) {
        settleStateCodec(codec);
        countReject(stats, rows);
        return 'rows of a sync message cannot be read';
      }
      for (let i = 0; i < rows; i++) {
        const at = codec.recordsOffset + i * RECORD.stride;
        if (codec.u8[at + RECORD.status] === STATUS.alive)
          versions.add(STATUS.alive, codec.u8, at + RECORD.vsn, VSN_BYTES);
      }
    }
    const problem = versions.verdict();
    if (problem !== undefined) {
      settleStateCodec(codec);
      stats.pushPullsRefused++;
      return problem;
    }
    const source = total > FEW_ROWS ? SOURCE.bulk : SOURCE.exchange;
    for (const block of blocks) {
      const rows = blocks.length === 1 ? (codec.u32[CODEC.recordCount >>> 2] as number) : this.#read(block);
      this.#gate.filter(codec, 0, rows, undefined);
      this.#membership.merge(nowMs, codec, 0, rows, 0, source);
      stats.syncRowsReceived += rows;
      for (let i = 0; i < rows; i++) this.#compare(codec.recordsOffset + i * RECORD.stride);
    }
    settleStateCodec(codec);
    return undefined;
  }

  /** These rows as blocks. */
  encode(slots: readonly number[]): Uint8Array[] {
    const { kernels, stats } = this.#context;
    const { delta } = kernels.sync;
    if (slots.length > delta.capacity) {
      delta.rehome(grownDeltaArena(delta.arena, { capacity: Math.max(slots.length, 2 * delta.capacity) }));
    }
    delta.u32.set(slots, delta.slotsOffset >>> 2);
    const blocks: Uint8Array[] = [];
    for (let at = 0; at < slots.length; ) {
      const used = delta.encode(kernels.table, at, slots.length - at, delta.blockBytes);
      // A block has room for any row; this is for damaged memory.
      if (used === 0) break;
      at += used;
      const length = delta.u32[DELTA.outLength >>> 2] as number;
      if (length > 0) blocks.push(delta.u8.slice(delta.outOffset, delta.outOffset + length));
    }
    stats.syncRowsSent += slots.length;
    return blocks;
  }

  /** Reads one block into the state codec: how many records, or -REJECT. */
  #read(block: Uint8Array): number {
    const codec = this.#context.kernels.stateCodec;
    const needs = blockNeeds(block);
    if (typeof needs === 'number') return needs;
    const scratchBytes = codec.u32[CODEC.scratchBytes >>> 2] as number;
    if (codec.inboxBytes < block.length || codec.recordCapacity < needs.rows || scratchBytes < needs.textBytes) {
      codec.rehome(
        grownPacketCodecArena(codec.arena, {
          inboxBytes: block.length,
          recordCapacity: needs.rows,
          scratchBytes: needs.textBytes,
        }),
      );
    }
    codec.u8.set(block, codec.inboxOffset);
    codec.u32[CODEC.inboxTop >>> 2] = block.length;
    return this.#context.kernels.sync.delta.decode(codec, 0, block.length);
  }

  /** After a record was merged: do we say the same now? */
  #compare(at: number): void {
    const { kernels, roster } = this.#context;
    const codec = kernels.stateCodec;
    if (((codec.u8[at + RECORD.flags] as number) & RECORD_FLAG.refused) !== 0) return;
    const slot = roster.find(viewOf(codec, at + RECORD.nameOffset));
    if (slot < 0) return;
    this.#heard.add(slot);
    const said = codec.u8[at + RECORD.status] as number;
    const known = roster.status(slot);
    const isGone = said > STATUS.suspect;
    // What a push/pull says about the dead makes a suspect here (protocol §7.6); two who know a member as gone have no news.
    if (
      isGone &&
      known !== STATUS.alive &&
      (known !== STATUS.suspect || codec.u32[(at + RECORD.number) >>> 2] === roster.incarnation(slot))
    )
      return;
    const isSame =
      said === known &&
      codec.u32[(at + RECORD.number) >>> 2] === roster.incarnation(slot) &&
      (said !== STATUS.alive || codec.u32[(at + RECORD.ext) >>> 2] === roster.ext(slot));
    if (!isSame) this.#better.push(slot);
  }
}
