import { afterEach, describe, expect, it } from 'vitest';
import type { BackendName } from '../../src/kernels/contract.ts';
import { loadNative } from '../../src/kernels/native.ts';
import { type PoolInput, runJob } from '../../src/pool/jobs.ts';
import { JobPool } from '../../src/pool/pool.ts';
import { readCompress } from '../../src/wire/decode.ts';
import { encodeNodeState, encodePushPullHeader } from '../../src/wire/messages.ts';
import { MsgpackReader } from '../../src/wire/msgpack.ts';
import { STREAM_LIMITS } from '../../src/wire/stream-body.ts';
import { type OpenJob, type PackJob, pack } from '../../src/wire/stream-job.ts';
import { text } from '../helpers/pair.ts';

const BACKENDS: BackendName[] = loadNative().addon ? ['native', 'js'] : ['js'];
function state(nodes: number): Uint8Array {
  const out = new Uint8Array(64 + nodes * 96);
  let at = encodePushPullHeader(out, 0, { nodes, userStateLength: 0, join: false });
  for (let i = 0; i < nodes; i++) {
    const addr = Uint8Array.of(10, 0, i >> 8, i & 255);
    at = encodeNodeState(out, at, {
      name: text(`m${i}`),
      addr,
      port: 7946,
      meta: null,
      incarnation: 1,
      state: 0,
      vsn: null,
    });
  }
  return out.slice(0, at);
}

const message = state(10_000);
const packJob: PackJob = { kind: 'pack', message };
const packed = pack(packJob, {});
const openJob: OpenJob = {
  kind: 'open',
  data: readCompress(new MsgpackReader(packed, 1)).data,
  isCompressed: true,
  acceptor: true,
  limits: STREAM_LIMITS,
};

const open: JobPool[] = [];
/** A pool with one user, released after the test. */
function started(pool: JobPool): JobPool {
  pool.acquire();
  open.push(pool);
  return pool;
}
afterEach(async () => {
  for (const pool of open.splice(0)) await pool.release();
});

describe('the job pool', () => {
  it.each(BACKENDS)('packs and opens on its own thread what the wire would here (%s)', async (backend) => {
    const pool = started(new JobPool());
    expect(Buffer.compare(await pool.pack(backend, packJob), packed)).toBe(0);
    const opened = await pool.open(backend, openJob);
    expect('message' in opened && Buffer.compare(opened.message, message)).toBe(0);
    expect(pool.stats).toEqual({ done: 2, inline: 0 });
    // The input was copied, so that the work could have been done here had the thread failed.
    expect(message.length).toBeGreaterThan(0);
  });

  it('tells why a message cannot be opened', async () => {
    const pool = started(new JobPool());
    const cut = { ...openJob, data: openJob.data.subarray(0, 1000) };
    expect(await pool.open('js', cut)).toMatchObject({ text: 'lzw: invalid code', answered: true });
    const tight = { ...openJob, limits: { ...STREAM_LIMITS, decompressedBytes: 4096 } };
    expect(await pool.open('js', tight)).toMatchObject({ text: 'decompressed message is larger than limit (4096)' });
  });

  it('does the work here when its thread cannot be had, and does not ask for it again', async () => {
    let opens = 0;
    const pool = started(
      new JobPool(() => {
        opens++;
        return Promise.reject(new Error('no threads here'));
      }),
    );
    for (let i = 0; i < 2; i++) expect(Buffer.compare(await pool.pack('js', packJob), packed)).toBe(0);
    expect([opens, pool.stats]).toEqual([1, { done: 0, inline: 2 }]);
  });

  it('does the work here when its thread ends in the middle of it', async () => {
    const run = (): Promise<unknown> => Promise.reject(new Error('the thread ended'));
    const pool = started(new JobPool(() => Promise.resolve({ run, destroy: () => Promise.resolve() })));
    const opened = await pool.open('js', openJob);
    expect('message' in opened && opened.message.length).toBe(message.length);
  });

  it('is opened with the first job and ends with its last user', async () => {
    const story: string[] = [];
    const pool = new JobPool(() => {
      story.push('open');
      const run = (input: PoolInput): Promise<unknown> => Promise.resolve(runJob(input));
      return Promise.resolve({ run, destroy: () => Promise.resolve(void story.push('end')) });
    });
    pool.acquire();
    pool.acquire();
    expect(story).toEqual([]);
    await pool.pack('js', packJob);
    await pool.pack('js', packJob);
    await pool.release();
    expect(story).toEqual(['open']);
    await pool.release();
    expect(story).toEqual(['open', 'end']);
    pool.acquire();
    await pool.pack('js', packJob);
    await pool.release();
    expect(story).toEqual(['open', 'end', 'open', 'end']);
  });

  it('without users does the work here', async () => {
    const pool = new JobPool(() => Promise.reject(new Error('nobody asked for it')));
    await pool.pack('js', packJob);
    expect(pool.stats).toEqual({ done: 0, inline: 1 });
  });
});
