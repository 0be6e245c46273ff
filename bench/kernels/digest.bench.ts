/**
 * What finding differences costs: hashing a whole table (with the hashes of names and profiles at hand, and under a new key), its sketch, telling
 * ten differing members from a sketch, and hashing 64 MiB of values. Goals: the whole table of 10,000 in at most 100 us; values within twice the
 * time of reading the same memory, which the case beside it measures.
 */
import type { Backend } from '../../src/kernels/backend.ts';
import type { Digest, Interner, MemberTable } from '../../src/kernels/contract.ts';
import { DIGEST, DIGEST_CELL_BYTES } from '../../src/kernels/layout.ts';
import type { BenchCase, BenchSuite, Subject } from '../harness.ts';
import { filledTable } from './filled-table.ts';

const CELLS = 80;

class DigestSubject {
  readonly table: MemberTable;
  readonly names: Interner;
  readonly digest: Digest;
  #key = 1;

  constructor(backend: Backend, members: number, newer = 0) {
    const { table, names } = filledTable(backend, members, newer);
    this.table = table;
    this.names = names;
    this.digest = backend.createDigest({ capacity: members });
    this.rekey();
    this.digest.hashTable(table);
  }

  rekey(): void {
    this.digest.u32[DIGEST.key >>> 2] = this.#key++;
  }
}

function tableCase(members: number, isRekeyed: boolean): BenchCase {
  return {
    name: `digest of all ${members.toLocaleString('en-US')} members${isRekeyed ? ', first time under a key' : ''}`,
    operations: 1,
    smoke: members <= 1000,
    setup(backend): Subject {
      const subject = new DigestSubject(backend, members);
      return {
        run: () => {
          if (isRekeyed) subject.rekey();
          subject.digest.hashTable(subject.table);
        },
        output: () => [subject.digest.u8, subject.names.u8],
      };
    },
  };
}

function sketchCase(members: number): BenchCase {
  return {
    name: `sketch of ${CELLS} cells, ${members.toLocaleString('en-US')} members`,
    operations: 1,
    setup(backend): Subject {
      const { digest } = new DigestSubject(backend, members);
      const out = new Uint8Array(CELLS * DIGEST_CELL_BYTES);
      return { run: () => void digest.sketch(CELLS, out, 0), output: () => [out] };
    },
  };
}

function peelCase(members: number): BenchCase {
  return {
    name: `find 10 differing of ${members.toLocaleString('en-US')}: peel and match`,
    operations: 1,
    setup(backend): Subject {
      const theirs = new DigestSubject(backend, members, 10).digest;
      const sketch = new Uint8Array(CELLS * DIGEST_CELL_BYTES);
      theirs.sketch(CELLS, sketch, 0);
      const { digest } = new DigestSubject(backend, members);
      return {
        run() {
          const found = digest.peel(CELLS, sketch, 0);
          if (found !== 20 || digest.match(found) !== 10)
            throw new Error(`expected 20 items of 10 members, got ${found}`);
        },
        output: () => [digest.u8],
      };
    },
  };
}

function valuesCase(totalBytes: number, valueBytes: number): BenchCase {
  return {
    name: `XXH3 of ${totalBytes >>> 20} MiB in values of ${valueBytes >>> 10} KiB`,
    operations: 1,
    smoke: totalBytes <= 1 << 20,
    setup(backend): Subject {
      const digest = backend.createDigest({ capacity: 1 });
      const source = new Uint8Array(totalBytes).map((_, i) => (i * 131) >>> 3);
      const count = totalBytes / valueBytes;
      const ends = new Uint8Array(Uint32Array.from({ length: count }, (_, i) => (i + 1) * valueBytes).buffer);
      const out = new Uint8Array(8 * count);
      return { run: () => void digest.hashValues(source, ends, out, 0), output: () => [out] };
    },
  };
}

/** Memory that is compared with its equal is read once on either side: half of this is the time to read as much. */
function readCase(totalBytes: number): BenchCase {
  return {
    name: `memory compared, ${totalBytes >>> 20} MiB against as much`,
    operations: 1,
    setup(): Subject {
      const a = Buffer.alloc(totalBytes, 1);
      const b = Buffer.alloc(totalBytes, 1);
      return { run: () => void a.equals(b), output: () => [a.subarray(0, 8)] };
    },
  };
}

export const digestSuite: BenchSuite = {
  name: 'digest',
  cases: [
    tableCase(1000, false),
    tableCase(10_000, false),
    tableCase(10_000, true),
    sketchCase(10_000),
    peelCase(10_000),
    valuesCase(1 << 20, 4096),
    valuesCase(64 << 20, 4096),
    readCase(64 << 20),
  ],
};
