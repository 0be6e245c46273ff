import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type Backend, chooseBackend, chooseBackendFrom } from '../../src/kernels/backend.ts';
import { loadNative, loadNativeFrom, nativeClass } from '../../src/kernels/native.ts';

const NOTHING_LOADED = (): { problem: string } => ({ problem: 'no addon is built for this platform' });
const scratch = mkdtempSync(join(tmpdir(), 'hearsay-backend-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const hasAddon = loadNative().addon !== undefined;
/** Both where the addon is built; a machine without compiler has the twins only. */
const backends: Backend[] = hasAddon ? [chooseBackend('js'), chooseBackend('native')] : [chooseBackend('js')];

describe('choosing a backend', () => {
  test('js is given without looking for the addon', () => {
    const backend = chooseBackendFrom('js', () => {
      throw new Error('looked');
    });
    expect(backend).toMatchObject({ name: 'js', reason: 'asked for by HEARSAY_BACKEND' });
    expect(chooseBackend('js').reason).toBe('asked for by option backend');
  });

  test('auto takes the twins when there is no addon, and says why', () => {
    expect(chooseBackendFrom('auto', NOTHING_LOADED)).toMatchObject({
      name: 'js',
      reason: 'no addon is built for this platform',
    });
  });

  test('auto takes the addon when it loads, and says from where', () => {
    const { addon, path } = loadNative();
    const backend = chooseBackend('auto');
    expect(backend.name).toBe(addon ? 'native' : 'js');
    if (path) expect(backend.reason).toContain(path);
  });

  test('a forced backend that cannot load throws and says what to do', () => {
    expect(() => chooseBackendFrom('native', NOTHING_LOADED)).toThrow(
      expect.objectContaining({
        code: 'ERR_BACKEND_UNAVAILABLE',
        message: expect.stringMatching(/no addon is built.*make native.*HEARSAY_BACKEND/),
      }),
    );
  });

  test('an unknown value throws and names the ones that exist', () => {
    expect(() => chooseBackend('rust')).toThrow(/expected "native", "js" or "auto", got "rust"/);
  });

  test('HEARSAY_BACKEND decides when nothing is asked for, and an empty value counts as unset', () => {
    const before = process.env['HEARSAY_BACKEND'];
    try {
      process.env['HEARSAY_BACKEND'] = 'js';
      expect(chooseBackend().name).toBe('js');
      process.env['HEARSAY_BACKEND'] = '';
      expect(chooseBackend().name).toBe(hasAddon ? 'native' : 'js');
      process.env['HEARSAY_BACKEND'] = 'fast';
      expect(() => chooseBackend()).toThrow(expect.objectContaining({ code: 'ERR_BACKEND_UNAVAILABLE' }));
    } finally {
      if (before === undefined) delete process.env['HEARSAY_BACKEND'];
      else process.env['HEARSAY_BACKEND'] = before;
    }
  });
});

describe('loading the addon', () => {
  test('files that are not there are passed over in silence', () => {
    const warnings: string[] = [];
    const load = loadNativeFrom([join(scratch, 'a.node'), join(scratch, 'b.node')], (text) => warnings.push(text));
    expect(load.addon).toBeUndefined();
    expect(load.problem).toContain('no addon is built');
    expect(warnings).toEqual([]);
  });

  test('a file that is there and does not load is warned about and reported', () => {
    const broken = join(scratch, 'broken.node');
    writeFileSync(broken, 'this is no library');
    const warnings: string[] = [];
    const load = loadNativeFrom([broken], (text) => warnings.push(text));
    expect(load.addon).toBeUndefined();
    expect(load.problem).toContain('broken.node is there but does not load');
    expect(warnings).toEqual([load.problem]);
  });

  test('a broken file does not keep a good one from being used', () => {
    const broken = join(scratch, 'broken2.node');
    writeFileSync(broken, '');
    const { path } = loadNative();
    if (!path) return expect(hasAddon).toBe(false);
    const warnings: string[] = [];
    expect(loadNativeFrom([broken, path], (text) => warnings.push(text))).toMatchObject({ path });
    expect(warnings).toHaveLength(1);
  });

  test('an addon that was built from other sources is refused, and the difference is named', () => {
    const stale = join(scratch, 'stale.cjs');
    writeFileSync(stale, 'exports.abi = () => ({ LAYOUT_VERSION: 0 });');
    const load = loadNativeFrom([stale], () => {});
    expect(load.addon).toBeUndefined();
    expect(load.problem).toMatch(/built from other sources \(LAYOUT_VERSION is 0 in C\+\+, \d+ in TypeScript/);
  });

  test('a class that the addon does not have throws ERR_BACKEND_UNAVAILABLE', () => {
    expect(() => nativeClass('Abacus')).toThrow(
      expect.objectContaining({ code: 'ERR_BACKEND_UNAVAILABLE', message: expect.stringContaining('native Abacus') }),
    );
  });

  test('a broken file is warned about once per process, through process.emitWarning', () => {
    // In a process of its own: the loader looks only once.
    const script = `
      process.on('warning', (warning) => console.log(warning.name, warning.code, warning.message));
      const { loadNative, NATIVE_CANDIDATES } = await import('./dist/kernels/native.js');
      const fs = (await import('node:module')).createRequire(import.meta.url)('node:fs');
      const real = fs.existsSync;
      fs.existsSync = () => true;
      (await import('node:module')).syncBuiltinESMExports();
      process.dlopen = () => { throw new Error('wrong ELF class'); };
      loadNative(); loadNative();
      fs.existsSync = real;`;
    const done = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    expect(done.stderr).not.toContain('Error');
    const lines = done.stdout.trim().split('\n');
    expect(lines[0]).toMatch(
      /^HearsayWarning HEARSAY_NATIVE_UNUSABLE hearsay: .*hearsay\.node is there but does not load/,
    );
    expect(new Set(lines).size).toBe(lines.length);
  });
});

describe.each(backends)('kernels of the $name backend', (backend) => {
  test('an engine gets kernels of this backend, over fresh arenas', () => {
    const { sync, ...kernels } = backend.createEngineKernels({ rngSeed: 7 });
    for (const kernel of [...Object.values(kernels), sync.digest, sync.delta])
      expect(kernel.backend).toBe(backend.name);
    expect(kernels.table.capacity).toBeGreaterThanOrEqual(64);
    expect(kernels.table.names).toBe(kernels.names);
    expect(kernels.table.profiles).toBe(kernels.profiles);
    expect(kernels.stateCodec).not.toBe(kernels.codec);
    expect(sync.digest).toBe(sync.digest);
  });

  test('shared kernels put what other threads read into shared memory, and the rest not', () => {
    const { table, names, profiles, queue, codec } = backend.createEngineKernels({ rngSeed: 7, shared: true });
    for (const kernel of [table, names, profiles]) expect(kernel.arena).toBeInstanceOf(SharedArrayBuffer);
    for (const kernel of [queue, codec]) expect(kernel.arena).toBeInstanceOf(ArrayBuffer);
  });

  test('engines of one thread can share interners and codecs', () => {
    const first = backend.createEngineKernels({ rngSeed: 1 });
    const { codec, stateCodec, names, profiles } = first;
    const second = backend.createEngineKernels({ rngSeed: 2, codec, stateCodec, names, profiles });
    expect(second.codec).toBe(codec);
    expect(second.stateCodec).toBe(stateCodec);
    expect(second.names).toBe(names);
    expect(second.profiles).toBe(profiles);
    expect(second.table).not.toBe(first.table);
    const id = first.names.intern(new Uint8Array([110, 49]));
    expect(second.table.names.lookup(new Uint8Array([110, 49]))).toBe(id);
  });

  test('the same seed gives the same bytes', () => {
    const hash = (seed: number): string =>
      createHash('sha256')
        .update(backend.createEngineKernels({ rngSeed: seed }).table.u8)
        .digest('hex');
    expect(hash(5)).toBe(hash(5));
    expect(hash(5)).not.toBe(hash(6));
  });

  test('a table refuses interners of another backend', () => {
    const other = backends.find((candidate) => candidate !== backend);
    if (!other) return expect(hasAddon).toBe(false);
    const options = { capacity: 64, heapBytes: 1024 };
    const names = other.createInterner(options);
    const profiles = backend.createInterner(options);
    expect(() => backend.createMemberTable({ capacity: 8, nameCapacity: 64, rngSeed: 1 }, names, profiles)).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT_INVALID', message: expect.stringContaining('names') }),
    );
  });
});
