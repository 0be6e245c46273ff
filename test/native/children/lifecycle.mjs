// A process that gets to one stage of a native handle's life and ends there. Run by lifecycle.test.ts with --expose-gc.
import { parentPort, Worker } from 'node:worker_threads';
import { chooseBackend } from '../../../dist/kernels/backend.js';
import { HEADER } from '../../../dist/kernels/layout.js';
import { nativeClass } from '../../../dist/kernels/native.js';
import { makeTurn } from './turn.mjs';

const backend = () => chooseBackend('native');
const native = () => backend().createEngineKernels({ rngSeed: 1, shared: true });
const bytes = (text) => new TextEncoder().encode(text);
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** This file again, as a thread at another stage. Resolves with its first message. */
const thread = (name) =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { argv: [name] });
    worker.once('message', (message) => resolve({ worker, message }));
    worker.once('error', reject);
  });
const ended = (worker) => new Promise((resolve) => worker.once('exit', resolve));
const expectSame = (got, expected, what) => {
  if (got !== expected) throw new Error(`${what}: ${got} is not ${expected}`);
};

const stages = {
  loaded: () => backend(),
  created: () => void native(),
  held: () => {
    globalThis.kernels = native();
  },
  used: () => {
    const { kernels, turn } = makeTurn(backend());
    for (let i = 0; i < 60; i++) turn();
    globalThis.kernels = kernels;
  },
  rehomed: () => {
    const { kernels, turn } = makeTurn(backend());
    turn();
    const { names, profiles, codec, table, queue, sync } = kernels;
    for (const kernel of [names, profiles, codec, table, queue, sync.digest, sync.delta])
      kernel.rehome(kernel.arena.slice(0));
    turn();
    globalThis.kernels = kernels;
  },
  'construction failed': () => {
    for (const name of ['Interner', 'PacketCodec', 'MemberTable', 'BroadcastQueue', 'Digest', 'Delta']) {
      const Handle = nativeClass(name);
      for (let i = 0; i < 200; i++) {
        try {
          new Handle(new Uint8Array(256));
        } catch {}
      }
    }
    globalThis.gc();
  },
  collected: async () => {
    for (let i = 0; i < 100; i++) native();
    globalThis.gc();
    await settle();
  },
  'collected but not finalized': () => {
    for (let i = 0; i < 100; i++) native();
    globalThis.gc();
    process.exit(0);
  },
  'exit inside': () => {
    const { turn } = makeTurn(backend());
    turn();
    process.on('exit', turn);
    process.exit(0);
  },
  'exit while threads are inside': async () => {
    await Promise.all(Array.from({ length: 4 }, () => thread('endless')));
    process.exit(0);
  },
  'worker ended by itself': async () => {
    const { worker } = await thread('used in a thread');
    expectSame(await ended(worker), 0, 'exit code');
  },
  'worker exits inside': async () => {
    const { worker } = await thread('exit in a thread');
    expectSame(await ended(worker), 0, 'exit code');
  },
  'worker terminated, its memory goes on': async () => {
    const { worker, message } = await thread('endless');
    await worker.terminate();
    // No call was cut in two: the sequence lock is open, and another handle works on the same memory.
    expectSame(new Uint32Array(message.table)[HEADER.seq >>> 2] & 1, 0, 'sequence lock');
    const Interner = nativeClass('Interner');
    const names = new Interner(new Uint8Array(message.names));
    const id = names.lookup(bytes('alpha'));
    expectSame(id > 0, true, 'name known');
    expectSame(names.intern(bytes('alpha')), id, 'name id');
  },

  // Threads of the stages above.
  endless: () => {
    const { kernels, turn } = makeTurn(backend());
    turn();
    parentPort.postMessage({ table: kernels.table.arena, names: kernels.names.arena });
    for (;;) turn();
  },
  'used in a thread': () => {
    const { kernels, turn } = makeTurn(backend());
    turn();
    globalThis.kernels = kernels;
    parentPort.postMessage('used');
  },
  'exit in a thread': () => {
    const { turn } = makeTurn(backend());
    turn();
    process.on('exit', turn);
    parentPort.postMessage('used');
    process.exit(0);
  },
};

const stage = process.argv[2];
if (!stages[stage]) throw new Error(`no stage ${stage}`);
await stages[stage]();
