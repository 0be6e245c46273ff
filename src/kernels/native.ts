import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { markAsUntransferable } from 'node:worker_threads';
import { HearsayError } from '../util/errors.ts';
import { type Abi, abiDifferences } from './abi.ts';
import type { Arena } from './contract.ts';

/** The module object of the addon: its classes by name, and `abi()`. Handle types live in `native/<kernel>.ts`. */
export interface NativeAddon {
  abi(): Abi;
  readonly [className: string]: unknown;
}

/** What looking for the addon gave. Exactly one of `addon` and `problem` is set. */
export interface NativeLoad {
  readonly addon?: NativeAddon;
  /** The file that was loaded. */
  readonly path?: string;
  /** Why there is no addon, for people. */
  readonly problem?: string;
}

const require = createRequire(import.meta.url);
const packageRoot = fileURLToPath(new URL('../../', import.meta.url));

/** Where the addon may lie: built here by cmake-js or node-gyp, or shipped in the package. */
export const NATIVE_CANDIDATES: readonly string[] = [
  `${packageRoot}out/cmake/Release/hearsay.node`,
  `${packageRoot}build/Release/hearsay.node`,
  `${packageRoot}prebuilds/${process.platform}-${process.arch}/hearsay.node`,
];

/**
 * Loads the first candidate that is there. A missing file is normal (no compiler, other platform) and silent; a file that
 * is there and does not load, or was built from other sources, goes to `warn`, and the next candidate is tried.
 */
export function loadNativeFrom(candidates: readonly string[], warn: (message: string) => void): NativeLoad {
  const problems: string[] = [];
  for (const path of candidates) {
    if (!existsSync(path)) continue;
    const problem = tryLoad(path);
    if (typeof problem !== 'string') return { addon: problem, path };
    warn(problem);
    problems.push(problem);
  }
  return {
    problem:
      problems.length > 0
        ? problems.join('; ')
        : 'no addon is built for this platform (`make native` builds it in a checkout)',
  };
}

function tryLoad(path: string): NativeAddon | string {
  let addon: NativeAddon;
  try {
    addon = require(path) as NativeAddon;
  } catch (error) {
    // Node adds a list of requiring modules in further lines.
    const [reason] = String(error instanceof Error ? error.message : error).split('\n', 1);
    return `${path} is there but does not load: ${reason}`;
  }
  const differences = typeof addon.abi === 'function' ? abiDifferences(addon.abi()) : ['it has no abi()'];
  if (differences.length === 0) return addon;
  return `${path} was built from other sources (${differences.slice(0, 3).join('; ')}); run \`make native\``;
}

let loaded: NativeLoad | undefined;

/** The addon of this thread. Looks once; warns once through process.emitWarning when a file is there but unusable. */
export function loadNative(): NativeLoad {
  loaded ??= loadNativeFrom(NATIVE_CANDIDATES, (message) => {
    process.emitWarning(`hearsay: ${message}`, { type: 'HearsayWarning', code: 'HEARSAY_NATIVE_UNUSABLE' });
  });
  return loaded;
}

/**
 * A class of the addon by name. Throws ERR_BACKEND_UNAVAILABLE when there is no addon, or the addon of this platform has no such
 * class (UdpSocket exists on Linux only; ask with `hasNativeClass`).
 */
export function nativeClass<Handle, Args extends readonly unknown[]>(name: string): new (...args: Args) => Handle {
  const { addon, problem } = loadNative();
  const found = addon?.[name];
  if (typeof found !== 'function') {
    throw new HearsayError(
      'ERR_BACKEND_UNAVAILABLE',
      `native ${name}: ${problem ?? 'not part of the addon on this platform'}`,
    );
  }
  return found as new (
    ...args: Args
  ) => Handle;
}

/** True when the addon is loaded and has this class. */
export function hasNativeClass(name: string): boolean {
  return typeof loadNative().addon?.[name] === 'function';
}

/**
 * The view through which C++ borrows an arena. The memory must not move away while C++ holds its address, so an ArrayBuffer is
 * marked: it cannot be transferred to another thread any more (shared memory never can).
 */
export function lend(arena: Arena): Uint8Array {
  if (arena instanceof ArrayBuffer) markAsUntransferable(arena);
  return new Uint8Array(arena);
}
