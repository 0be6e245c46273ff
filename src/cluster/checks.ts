import { isUint8Array } from 'node:util/types';
import { parseIp } from '../util/address.ts';
import { complaint, describe, describeText } from './describe.ts';
import { parseHostPort } from './resolve.ts';

/** What checks of options and of arguments share: each says what is wrong as "field: expected ..., got ...". */

/** Longest key that a meant one is looked for. */
const KEY_CHARACTERS_MAX = 60;
/** Shortest common beginning that counts as a likely misspelling. */
const PREFIX_CHARACTERS = 3;
const DISTANCE_MAX = 2;
const KEY_BYTES = [16, 24, 32];
const KEY_FORMS = '16, 24 or 32 bytes, or their base64';

export const DATA_FORMS = 'a Uint8Array or text';

export function isIntegerWithin(value: unknown, min: number, max: number): value is number {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

/** An object with named fields. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isUint8Array(value);
}

/** Has what is used of an AbortSignal; not `instanceof`, since test runners and polyfills bring their own class. */
export function isAbortSignal(value: unknown): value is AbortSignal {
  return (
    isRecord(value) &&
    typeof value['aborted'] === 'boolean' &&
    hasMethods(value, ['addEventListener', 'removeEventListener'])
  );
}

export function hasMethods(value: unknown, names: readonly string[]): boolean {
  return typeof value === 'object' && value !== null && missingMethods(value, names).length === 0;
}

export function missingMethods(value: object, names: readonly string[]): string[] {
  return names.filter((name) => typeof (value as Record<string, unknown>)[name] !== 'function');
}

/** Keys that do not exist, each with the one that was probably meant. `elsewhere`: keys of another object, with its name in front. */
export function unknownKeys(
  prefix: string,
  given: object,
  known: readonly string[],
  elsewhere: readonly string[] = [],
): string[] {
  return Object.keys(given)
    .filter((key) => !known.includes(key))
    .map((key) => {
      const meant = closest(key, known) ?? closest(key, elsewhere);
      const field = `${prefix}${describeText(key).slice(1, -1)}`;
      return meant === undefined ? `${field}: unknown option` : `${field}: unknown option, did you mean "${meant}"?`;
    });
}

function closest(key: string, known: readonly string[]): string | undefined {
  if (key.length > KEY_CHARACTERS_MAX) return undefined;
  const ranked = known
    .map((candidate) => {
      const last = candidate.slice(candidate.lastIndexOf('.') + 1);
      return { candidate, last, distance: distanceOf(key.toLowerCase(), last.toLowerCase()) };
    })
    // In a short word two letters are no misspelling but another word.
    .filter(({ last, distance }) => distance <= Math.min(DISTANCE_MAX, key.length >> 1) || sharesPrefix(key, last))
    .sort((a, b) => a.distance - b.distance);
  return ranked[0]?.candidate;
}

function sharesPrefix(a: string, b: string): boolean {
  return Math.min(a.length, b.length) >= PREFIX_CHARACTERS && (a.startsWith(b) || b.startsWith(a));
}

/** Levenshtein's edit distance. */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

/** What is wrong with a list of seeds. */
export function seedProblems(seeds: unknown): string[] {
  if (!Array.isArray(seeds)) return [complaint('seeds', seeds, 'an array of "host:port"')];
  return seeds.flatMap((seed: unknown, i) => {
    const field = `seeds[${i}]`;
    if (typeof seed !== 'string') return [complaint(field, seed, '"host:port"')];
    try {
      if (parseHostPort(seed, 1, field).port === 0) return [complaint(field, seed, 'a port from 1 to 65535')];
    } catch (error) {
      return [(error as Error).message];
    }
    return [];
  });
}

/** What is wrong with the text or bytes of a message; undefined when nothing is. */
export function dataProblem(field: string, data: unknown): string | undefined {
  if (typeof data === 'string' || isUint8Array(data)) return undefined;
  const advice = isRecord(data) || Array.isArray(data) ? '; use JSON.stringify for objects' : '';
  return `${complaint(field, data, DATA_FORMS)}${advice}`;
}

/** The bytes of an encryption key, or what is wrong with it, without showing it. */
export function parseKey(key: unknown): Uint8Array | string {
  if (isUint8Array(key)) return isKeyLength(key) ? key : `expected ${KEY_FORMS}, got ${key.length} bytes`;
  if (typeof key !== 'string') return `expected ${KEY_FORMS}, got ${describe(key)}`;
  // Hex of a key is base64 of something else.
  if ([32, 48, 64].includes(key.length) && /^[0-9a-f]+$/i.test(key)) {
    return `expected ${KEY_FORMS}, got ${key.length} hex characters; pass Buffer.from(hex, 'hex')`;
  }
  const decoded = Buffer.from(key, 'base64');
  // Node.js passes over what is not base64.
  if (decoded.toString('base64') !== key) {
    return `expected ${KEY_FORMS}, got a text that is not base64 (with its padding, without spaces or line ends)`;
  }
  return isKeyLength(decoded)
    ? new Uint8Array(decoded)
    : `expected ${KEY_FORMS}, got base64 of ${decoded.length} bytes`;
}

function isKeyLength(key: Uint8Array): boolean {
  return KEY_BYTES.includes(key.length);
}

/** True for 0.0.0.0 and ::, which mean "all of ours" and lead nobody anywhere. */
export function isWildcard(ip: Uint8Array): boolean {
  return ip.every((byte) => byte === 0);
}

/** A host alone, without a port: an IP or a name. */
export function isHost(text: string): boolean {
  return parseIp(text) !== undefined || /^(?!\d+$)[^:/\s]+$/.test(text);
}
