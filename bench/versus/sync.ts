/** What delta push-pull adds to the comparison: nobody else has it, so our engines stand alone, or against this machine's memory. */
import type { Backend } from '../../src/kernels/backend.ts';
import type { Digest } from '../../src/kernels/contract.ts';
import { DELTA, DIGEST, DIGEST_ITEM } from '../../src/kernels/layout.ts';
import { KernelMembership, type VersusSubject } from './contenders.ts';
import { MEMBERS, type VersusInputs } from './inputs.ts';

const DIFFERING = 10;
export const HASHED_BYTES = 64 * 1024 * 1024;
const VALUE_BYTES = 4096;

/** A salt of its own for each run, as each exchange has; hashes of names and profiles are kept from one to the next. */
export function digestTable(backend: Backend, inputs: VersusInputs): VersusSubject {
  const { membership, digest } = prepare(backend, inputs);
  return {
    run: () => {
      digest.u32[DIGEST.salt >>> 2] = (digest.u32[DIGEST.salt >>> 2] as number) + 1;
      digest.hashTable(membership.table);
    },
    view: () => {
      digest.u32[DIGEST.salt >>> 2] = 7;
      const items = digest.hashTable(membership.table);
      return `${items} items, sum ${digest.u32[DIGEST.sum >>> 2]} ${digest.u32[(DIGEST.sum >>> 2) + 1]}`;
    },
  };
}

/** From the name halves of ten differing items, as the digest has found them, to the block that is sent. */
export function deltaOfTen(backend: Backend, inputs: VersusInputs): VersusSubject {
  const { membership, digest } = prepare(backend, inputs);
  const delta = backend.createDelta({ capacity: MEMBERS + 1 });
  digest.hashTable(membership.table);
  const names = Array.from({ length: DIFFERING }, (_, i) => {
    const slot = 1 + i * (MEMBERS / DIFFERING);
    return digest.u32[(digest.itemsOffset + slot * DIGEST_ITEM.stride + DIGEST_ITEM.name) >>> 2] as number;
  });
  const run = () => {
    digest.u32.set(names, digest.namesOffset >>> 2);
    const slots = digest.match(DIFFERING);
    delta.u32.set(
      digest.u32.subarray(digest.slotsOffset >>> 2, (digest.slotsOffset >>> 2) + slots),
      delta.slotsOffset >>> 2,
    );
    if (delta.encode(membership.table, 0, slots, delta.blockBytes) !== DIFFERING) throw new Error('rows are missing');
  };
  return {
    run,
    view: () => {
      const length = delta.u32[DELTA.outLength >>> 2] as number;
      const block = delta.u8.subarray(delta.outOffset, delta.outOffset + length);
      return `${length} bytes, ${Buffer.from(block.subarray(-8)).toString('hex')}`;
    },
  };
}

/** 64 MiB in values of 4 KiB. The twin gets 1 MiB of them: it would take seconds. */
export function hashing(backend: Backend): VersusSubject {
  const bytes = backend.name === 'native' ? HASHED_BYTES : HASHED_BYTES / TWIN_SHARE;
  const digest = backend.createDigest({ capacity: 1 });
  const source = new Uint8Array(bytes);
  const words = new Uint32Array(source.buffer);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 0x9e3779b1);
  const values = bytes / VALUE_BYTES;
  const ends = Uint32Array.from({ length: values }, (_, i) => (i + 1) * VALUE_BYTES);
  const out = new Uint8Array(8 * values);
  return {
    run: () => {
      const hashed = digest.hashValues(source, new Uint8Array(ends.buffer), out, 5);
      if (hashed !== values) throw new Error('values are missing');
    },
    // Of what both have hashed.
    view: () =>
      Buffer.from(out.subarray(8 * (HASHED_BYTES / TWIN_SHARE / VALUE_BYTES) - 8).subarray(0, 8)).toString('hex'),
    scale: backend.name === 'native' ? 1 : TWIN_SHARE,
  };
}

const TWIN_SHARE = 64;

function prepare(backend: Backend, inputs: VersusInputs): { membership: KernelMembership; digest: Digest } {
  const membership = new KernelMembership(backend, inputs.body.length);
  membership.mergeBody(inputs.body);
  const digest = backend.createDigest({ capacity: MEMBERS + 1 });
  digest.u32.set([1, 2, 3, 4], DIGEST.key >>> 2);
  return { membership, digest };
}
