import { describe, expect, it } from 'vitest';
import { REJECT } from '../../src/kernels/contract.ts';
import { encodeUserHeader } from '../../src/wire/messages.ts';
import { StreamSeal } from '../../src/wire/stream.ts';
import { LARGE_BYTES, type OpenJob, open, pack } from '../../src/wire/stream-job.ts';
import { sealOptions } from './seal-options.ts';

const KEY = new Uint8Array(16).fill(7);

/** A user message with a payload of this length: runs when `calm`, else bytes that LZW makes longer. */
function message(length: number, calm = true): Uint8Array {
  const out = new Uint8Array(length + 64);
  const at = encodeUserHeader(out, 0, length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[at + i] = calm ? (i >> 6) & 3 : state >>> 24;
  }
  return out.slice(0, at + length);
}

function jobOf(step: ReturnType<ReturnType<StreamSeal['reader']>['pushOrDefer']>): OpenJob {
  if (step === 'more' || step.kind !== 'open') throw new Error(`expected a job, got ${JSON.stringify(step)}`);
  return step;
}

describe.each([
  ['compressed', sealOptions({ compression: true })],
  ['compressed and encrypted', sealOptions({ compression: true, keys: [KEY] })],
  ['encrypted only', sealOptions({ keys: [KEY] })],
])('a reader that may defer, %s', (_, options) => {
  const seal = new StreamSeal(options);

  it.each([true, false])('gives a large message as a job and goes on with its outcome (calm bytes: %s)', (calm) => {
    const plain = message(4 * LARGE_BYTES, calm);
    const wire = seal.wrap(plain, true);
    const reader = seal.reader(true);
    expect(reader.pushOrDefer(wire.subarray(0, 1000))).toBe('more');
    const job = jobOf(reader.pushOrDefer(wire.subarray(1000)));
    expect(reader.isDeferred).toBe(true);
    expect(reader.pushOrDefer(Uint8Array.of(1, 2, 3))).toBe('more');
    const result = reader.settle(open(structuredClone(job), {}));
    expect(reader.isDeferred).toBe(false);
    expect(result.kind === 'message' && Buffer.compare(result.message, plain)).toBe(0);
  });

  it('opens a small message on the spot', () => {
    const plain = message(LARGE_BYTES / 2);
    const result = seal.reader(true).pushOrDefer(seal.wrap(plain, true));
    expect(result).toMatchObject({ kind: 'message' });
  });
});

describe('work on streams', () => {
  const seal = new StreamSeal(sealOptions({ compression: true, label: 'here' }));

  it('does not open few bytes that hold many', () => {
    const bomb = message(30 * 1048576, true).fill(0, 64);
    const wire = seal.wrap(bomb, true);
    expect(wire.length).toBeLessThan(LARGE_BYTES);
    const result = seal.reader(true).pushOrDefer(wire);
    jobOf(result);
  });

  it('with a bad outcome ends like the same bytes without a job', () => {
    const wire = seal.wrap(message(4 * LARGE_BYTES, false), true);
    wire.fill(0xff, 200_000);
    const reader = seal.reader(true);
    const settled = reader.settle(open(jobOf(reader.pushOrDefer(wire)), {}));
    expect(settled).toMatchObject({ kind: 'error', code: REJECT.lzwCorrupt });
    expect(settled).toEqual(seal.reader(true).push(wire));
  });

  it('is packed elsewhere into the bytes that wrap() makes', () => {
    const large = message(LARGE_BYTES + 1);
    const job = seal.packJob(large);
    expect(job && Buffer.compare(seal.wrapPacked(pack(job, {}), true), seal.wrap(large, true))).toBe(0);
    expect(seal.packJob(message(1000))).toBeUndefined();
    expect(new StreamSeal(sealOptions({})).packJob(large)).toBeUndefined();
  });
});
