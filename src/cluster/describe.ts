import { isUint8Array } from 'node:util/types';

/** Characters of a text that a message repeats. */
const SHOWN_CHARACTERS = 60;

/** A value for a message: on one line, never long, never throwing. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return describeText(value);
  if (typeof value === 'function') return 'a function';
  if (isUint8Array(value)) return `a Uint8Array of ${value.length} bytes`;
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array';
  if (value instanceof Promise) return 'a Promise (await it)';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

/** A text in quotes, cut when it is long. */
export function describeText(text: string): string {
  if (text.length <= SHOWN_CHARACTERS) return JSON.stringify(text);
  return `${JSON.stringify(`${text.slice(0, SHOWN_CHARACTERS)}…`)} (${text.length} characters)`;
}

/** The line of one problem. */
export function complaint(field: string, value: unknown, expected: string): string {
  return `${field}: expected ${expected}, got ${describe(value)}`;
}
