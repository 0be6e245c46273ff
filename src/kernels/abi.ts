import * as contract from './contract.ts';
import * as layout from './layout.ts';

/** What the addon's `abi()` returns: every constant that both languages share, under its TypeScript name. */
export type Abi = Readonly<Record<string, number | string | Readonly<Record<string, number>>>>;

/** The constants of this side, in the same form. */
export function ownAbi(): Abi {
  const all: Record<string, number | string | Readonly<Record<string, number>>> = {};
  for (const [name, value] of [...Object.entries(layout), ...Object.entries(contract)]) {
    if (typeof value === 'number' || typeof value === 'string' || typeof value === 'object') all[name] = value;
  }
  return all;
}

/**
 * What differs between two sets of constants, as lines for people; empty when they agree. The loader refuses an addon with
 * differences: it was built from other sources, and would write other bytes into the arenas than TypeScript reads.
 */
export function abiDifferences(theirs: Abi, ours: Abi = ownAbi()): string[] {
  const a = flatten(theirs);
  const b = flatten(ours);
  const lines: string[] = [];
  for (const key of new Set([...a.keys(), ...b.keys()])) {
    if (a.get(key) !== b.get(key))
      lines.push(`${key} is ${a.get(key) ?? 'missing'} in C++, ${b.get(key) ?? 'missing'} in TypeScript`);
  }
  return lines;
}

function flatten(abi: Abi): Map<string, number | string> {
  const flat = new Map<string, number | string>();
  for (const [name, value] of Object.entries(abi)) {
    if (typeof value === 'object')
      for (const [key, number] of Object.entries(value)) flat.set(`${name}.${key}`, number);
    else flat.set(name, value);
  }
  return flat;
}
