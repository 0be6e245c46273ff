// A process that gets to one stage of a native handle's life and ends there. Run by lifecycle.test.ts with --expose-gc.
import { Worker } from 'node:worker_threads';
import { chooseBackend } from '../../../dist/kernels/backend.js';
import { nativeClass } from '../../../dist/kernels/native.js';

const native = () => chooseBackend('native').createEngineKernels({ rngSeed: 1, shared: true });
const bytes = (text) => new TextEncoder().encode(text);
const settle = () => new Promise((resolve) => setImmediate(resolve));

const stages = {
  loaded: () => chooseBackend('native'),
  created: () => void native(),
  held: () => {
    globalThis.kernels = native();
  },
  used: () => {
    globalThis.kernels = native();
    for (let i = 0; i < 60; i++) globalThis.kernels.names.intern(bytes(`node-${i}`));
  },
  rehomed: () => {
    const { names } = native();
    names.intern(bytes('a'));
    names.rehome(names.arena.slice(0));
    globalThis.names = names;
  },
  'construction failed': () => {
    const Interner = nativeClass('Interner');
    for (let i = 0; i < 1000; i++) {
      try {
        new Interner(new Uint8Array(256));
      } catch {}
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
    globalThis.kernels = native();
    process.on('exit', () => globalThis.kernels.names.intern(bytes('last')));
    process.exit(0);
  },
  'worker ended by itself': () =>
    new Promise((resolve) => {
      const code = `
        import { chooseBackend } from ${JSON.stringify(new URL('../../../dist/kernels/backend.js', import.meta.url).href)};
        globalThis.kernels = chooseBackend('native').createEngineKernels({ rngSeed: 1 });
        globalThis.kernels.names.intern(new Uint8Array(3));`;
      new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`)).on('exit', resolve);
    }),
};

const stage = process.argv[2];
if (!stages[stage]) throw new Error(`no stage ${stage}`);
await stages[stage]();
