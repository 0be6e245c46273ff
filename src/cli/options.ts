import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { InvalidArgumentError } from 'commander';

/** A parser for commander: a whole number within bounds. */
export function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** "5%" or "0.05". */
export function ratio(max: number): (text: string) => number {
  return (text) => {
    const match = /^(\d+(?:\.\d+)?|\.\d+)(%?)$/.exec(text);
    const value = match === null ? Number.NaN : Number(match[1]) / (match[2] === '%' ? 100 : 1);
    if (!(value >= 0 && value <= max)) {
      throw new InvalidArgumentError(`Expected a share from 0 to ${max}, as "0.05" or "5%".`);
    }
    return value;
  };
}

/** A parser for commander: a file to write to, or "-". What cannot be written is better refused before a run than after it. */
export function outputFile(path: string): string {
  if (path === '-') return path;
  const exists = existsSync(path);
  try {
    if (exists && statSync(path).isDirectory()) throw new Error('it is a directory');
    accessSync(exists ? path : dirname(path), constants.W_OK);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InvalidArgumentError(`Expected a file that can be written: ${why}.`);
  }
  return path;
}

/** Aborted by the first Ctrl-C (or SIGTERM); the second ends the process at once. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(130);
      controller.abort();
    });
  }
  return controller.signal;
}

export const EXIT_FAILED = 1;
/** 128 + SIGINT, as shells have it. */
export const EXIT_INTERRUPTED = 130;
