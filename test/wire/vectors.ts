import { readFileSync } from 'node:fs';

/** Reads one golden vector file. Its shape is what the caller declares. */
export function vectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8')) as T;
}

/** A byte string as the vector files write it: {"hex": "..."}, or null for nil. */
export interface HexValue {
  readonly hex: string;
}
