import { describe, expect, test } from 'vitest';
import { chooseBackend } from '../../src/kernels/backend.ts';
import { ARENA_MAGIC, HEADER, KERNEL_ID, LAYOUT_VERSION } from '../../src/kernels/layout.ts';
import { loadNative, type NativeAddon } from '../../src/kernels/native.ts';

type Class = { new (...args: unknown[]): object; prototype: Record<string, (...args: unknown[]) => unknown> };

const addon = loadNative().addon as NativeAddon;
const classes: [string, Class][] = Object.entries(addon ?? {}).filter(
  (entry): entry is [string, Class] => typeof entry[1] === 'function' && /^[A-Z]/.test(entry[0]),
);

/** A handle of every kernel class, made as the library makes them. */
function handles(): Map<string, object> {
  const { names, profiles, codec, table, queue, sync } = chooseBackend('native').createEngineKernels({ rngSeed: 1 });
  const Interner = addon['Interner'] as Class;
  const nameHandle = new Interner(names.u8);
  return new Map<string, object>([
    ['Interner', nameHandle],
    ['PacketCodec', new (addon['PacketCodec'] as Class)(codec.u8)],
    ['MemberTable', new (addon['MemberTable'] as Class)(table.u8, nameHandle, new Interner(profiles.u8))],
    ['BroadcastQueue', new (addon['BroadcastQueue'] as Class)(queue.u8)],
    ['Digest', new (addon['Digest'] as Class)(sync.digest.u8)],
    ['Delta', new (addon['Delta'] as Class)(sync.delta.u8)],
  ]);
}

const JUNK: readonly unknown[] = [
  undefined,
  null,
  1,
  Number.NaN,
  -1,
  2 ** 53,
  'text',
  Symbol('x'),
  {},
  [],
  () => 1,
  new Uint8Array(0),
  new Uint8Array(7),
  new Float64Array(64),
  new Uint8Array(4096),
  new DataView(new ArrayBuffer(64)),
  new ArrayBuffer(4096),
  new Uint8Array(new SharedArrayBuffer(4096)),
  new Proxy(new Uint8Array(64), {}),
];

describe.runIf(addon)('native classes refuse what is not theirs', () => {
  test('the addon exports a class for every kernel, and each of them is tried here', () => {
    const kernels = Object.keys(KERNEL_ID).map((name) => name.charAt(0).toUpperCase() + name.slice(1));
    expect(classes.map(([name]) => name)).toEqual(expect.arrayContaining(kernels));
    expect([...handles().keys()].sort()).toEqual(kernels.sort());
  });

  test.each(classes)('%s: a method on a wrong receiver throws TypeError', (name, { prototype }) => {
    const all = handles();
    const others = [...all].filter(([other]) => other !== name).map(([, handle]) => handle);
    const own = all.get(name);
    const receivers: unknown[] = [...JUNK, ...others, Object.create(prototype), prototype];
    if (own) receivers.push(Object.create(own), new Proxy(own, {}));
    const methods = Object.getOwnPropertyNames(prototype).filter((key) => key !== 'constructor');
    expect(methods.length).toBeGreaterThanOrEqual(3);
    for (const method of methods) {
      for (const receiver of receivers) {
        expect(() => Reflect.apply(prototype[method] as () => unknown, receiver, [0, 0, 0, 0, 0]), method).toThrow(
          TypeError,
        );
      }
    }
  });

  test.each(classes)('%s: called without new, or built from junk, it throws and does not crash', (_name, Handle) => {
    expect(() => (Handle as unknown as () => void)()).toThrow(TypeError);
    for (const a of JUNK) {
      for (const b of JUNK) expect(() => new Handle(a, b, b, b)).toThrow(Error);
    }
    expect(() => Reflect.construct(Handle, [], Map)).toThrow(Error);
  });

  test('junk arguments of every method give a TypeError or RangeError, or a status, and the arena survives', () => {
    for (const [name, handle] of handles()) {
      const { prototype } = addon[name] as Class;
      for (const method of Object.getOwnPropertyNames(prototype).filter((key) => key !== 'constructor')) {
        for (const a of JUNK) {
          for (const b of JUNK) {
            let thrown: unknown;
            try {
              Reflect.apply(prototype[method] as () => unknown, handle, [a, b, a, b, a]);
            } catch (error) {
              thrown = error;
            }
            if (thrown !== undefined) expect(thrown, `${name}.${method}`).toBeInstanceOf(Error);
          }
        }
      }
    }
  });

  test('an object built through another prototype is still checked', () => {
    const { queue } = chooseBackend('native').createEngineKernels({ rngSeed: 1 });
    const odd = Reflect.construct(addon['BroadcastQueue'] as Class, [queue.u8], Map) as object;
    const { prototype } = addon['Interner'] as Class;
    expect(() => Reflect.apply(prototype['intern'] as () => unknown, odd, [new Uint8Array(1)])).toThrow(TypeError);
  });
});

describe.runIf(addon)('attach refuses', () => {
  const arenaOf = (): Uint8Array => {
    const { names } = chooseBackend('native').createEngineKernels({ rngSeed: 1 });
    return names.u8.slice();
  };
  const word = (bytes: Uint8Array, offset: number, value: number): Uint8Array => {
    new DataView(bytes.buffer).setUint32(offset, value, true);
    return bytes;
  };
  const Interner = addon?.['Interner'] as Class;

  test('nothing when the arena is sound', () => {
    expect(() => new Interner(arenaOf())).not.toThrow();
  });

  test.each<[string, (bytes: Uint8Array) => Uint8Array]>([
    ['a wrong magic', (bytes) => word(bytes, HEADER.magic, ARENA_MAGIC + 1)],
    ['another layout version', (bytes) => word(bytes, HEADER.layoutVersion, LAYOUT_VERSION + 1)],
    ['the arena of another kernel', (bytes) => word(bytes, HEADER.kernelId, KERNEL_ID.broadcastQueue)],
    ['a length beyond the buffer', (bytes) => word(bytes, HEADER.byteLength, bytes.length + 8)],
    ['a length of nothing', (bytes) => word(bytes, HEADER.byteLength, 0)],
    ['a buffer cut short', (bytes) => bytes.slice(0, bytes.length - 8)],
    ['less than a header', (bytes) => bytes.slice(0, 63)],
    ['a capacity that does not fit', (bytes) => word(bytes, HEADER.capacity, 0xffffffff)],
    [
      'a view that is not aligned',
      (bytes) => {
        const moved = new Uint8Array(bytes.length + 4).subarray(4);
        moved.set(bytes);
        return moved;
      },
    ],
  ])('%s', (_what, spoil) => {
    expect(() => new Interner(spoil(arenaOf()))).toThrow(expect.objectContaining({ code: 'ERR_ARENA_INVALID' }));
  });

  test('and a handle that fails to move keeps its old arena', () => {
    const bytes = arenaOf();
    const handle = new Interner(bytes) as unknown as {
      intern(name: Uint8Array): number;
      rehome(arena: Uint8Array): void;
      lookup(name: Uint8Array): number;
    };
    const id = handle.intern(new Uint8Array([1, 2, 3]));
    expect(() => handle.rehome(word(bytes.slice(), HEADER.magic, 0))).toThrow(/wrong magic/);
    expect(handle.lookup(new Uint8Array([1, 2, 3]))).toBe(id);
  });
});
