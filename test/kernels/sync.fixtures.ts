import { createDeltaArena, type DeltaArenaOptions } from '../../src/kernels/arenas/delta.ts';
import { createDigestArena, type DigestArenaOptions } from '../../src/kernels/arenas/digest.ts';
import type { Delta, Digest } from '../../src/kernels/contract.ts';
import { JsDelta } from '../../src/kernels/js/delta.ts';
import { JsDigest } from '../../src/kernels/js/digest.ts';
import { DELTA, DIGEST, ROW } from '../../src/kernels/layout.ts';
import { NativeDelta } from '../../src/kernels/native/delta.ts';
import { NativeDigest } from '../../src/kernels/native/digest.ts';
import { bytesOf } from '../../src/util/bytes.ts';
import type { Prng } from '../../src/util/prng.ts';
import { alive, bring, type RecordSpec, Rig, type RigOptions, type TableEngine } from './member-table.fixtures.ts';

/** A member table with the kernels that compare and carry it. */
export class SyncRig extends Rig {
  readonly digest: Digest;
  readonly delta: Delta;

  constructor(
    engine: TableEngine,
    options: RigOptions = {},
    digest: Partial<DigestArenaOptions> = {},
    delta: Partial<DeltaArenaOptions> = {},
  ) {
    super(engine, options);
    const capacity = options.capacity ?? 64;
    const digestArena = createDigestArena({ capacity, cellCapacity: 600, nameCapacity: 512, ...digest });
    const deltaArena = createDeltaArena({ capacity, ...delta });
    this.digest = engine.name === 'native' ? new NativeDigest(digestArena) : new JsDigest(digestArena);
    this.delta = engine.name === 'native' ? new NativeDelta(deltaArena) : new JsDelta(deltaArena);
  }

  setKey(key: readonly [number, number, number, number], salt: number): void {
    this.digest.u32.set(key, DIGEST.key >>> 2);
    this.digest.u32[DIGEST.salt >>> 2] = salt;
  }

  /** Hashes the table; the sum as one number in text. */
  sum(): string {
    this.digest.hashTable(this.table);
    return [1, 0]
      .map((i) => (this.digest.u32[(DIGEST.sum >>> 2) + i] as number).toString(16).padStart(8, '0'))
      .join('');
  }

  sketch(cells: number): Uint8Array {
    this.digest.hashTable(this.table);
    const out = new Uint8Array(cells * 13);
    this.digest.sketch(cells, out, 0);
    return out;
  }

  /** Names of the rows that differ from a table with this sketch, sorted, `undefined` when it cannot tell; and how many names it lacks. */
  compare(cells: number, sketch: Uint8Array): { names: string[]; lacking: number } | undefined {
    this.digest.hashTable(this.table);
    const found = this.digest.peel(cells, sketch, 0);
    if (found < 0) return undefined;
    const slots = this.digest.match(found);
    const names = this.slots(slots).map((slot) => this.rowAt(slot).name);
    return { names: names.sort(), lacking: this.digest.u32[DIGEST.unmatched >>> 2] as number };
  }

  slots(count: number): number[] {
    return Array.from(this.digest.u32.subarray(this.digest.slotsOffset >>> 2, (this.digest.slotsOffset >>> 2) + count));
  }

  /** Encodes these slots into blocks of at most `budgetBytes`. */
  encode(slots: readonly number[], budgetBytes: number): Uint8Array[] {
    const { delta } = this;
    delta.u32.set(slots, delta.slotsOffset >>> 2);
    const blocks: Uint8Array[] = [];
    for (let at = 0; at < slots.length; ) {
      const used = delta.encode(this.table, at, slots.length - at, budgetBytes);
      if (used === 0) throw new Error('not even one row fits');
      at += used;
      const length = delta.u32[DELTA.outLength >>> 2] as number;
      if (length > 0) blocks.push(delta.u8.slice(delta.outOffset, delta.outOffset + length));
    }
    return blocks;
  }

  /** Slots in use. */
  used(): number[] {
    const { u32, rowsOffset, capacity } = this.table;
    return Array.from({ length: capacity }, (_, slot) => slot).filter(
      (slot) => u32[(rowsOffset + slot * ROW.stride + ROW.nameId) >>> 2] !== 0,
    );
  }
}

const METAS = ['', 'role=db', 'role=web', 'zone=a rack=17', 'x'.repeat(300)];

/** A member as real clusters have them: like its neighbours in most respects. */
export function someMember(prng: Prng, index: number): RecordSpec {
  const one = <T>(values: readonly T[]): T => values[prng.below(values.length)] as T;
  const name = one([
    `node-${String(index).padStart(5, '0')}`,
    `n${index}`,
    `${index}.${'long'.repeat(1 + prng.below(20))}`,
  ]);
  const last = index & 255;
  const middle = (index >>> 8) & 255;
  return alive(name, 1 + prng.below(one([3, 300, 0xfffffff])), {
    ip: one([`10.0.${middle}.${last}`, `10.0.${middle}.${last}`, `fe80::${middle}:${last}`]),
    port: one([7946, 7946, 1 + prng.below(60000)]),
    meta: one(METAS),
    vsn: one([
      [1, 5, 2, 0, 0, 0],
      [1, 5, 2, 0, 0, 0],
      [1, 5, 2, 2, 5, 4],
    ]),
    ext: one([0, 257, 257, (prng.next() | 1) >>> 0]),
  });
}

/** Brings some members into other states than alive. */
export function stir(rig: Rig, specs: readonly RecordSpec[], prng: Prng): void {
  for (const spec of specs) {
    if (prng.below(5) === 0) bring(rig, 5, spec.name, 1 + prng.below(3), spec.incarnation, spec);
  }
}

export const nameBytes = bytesOf;
