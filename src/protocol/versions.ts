import { STATUS } from '../kernels/contract.ts';

/**
 * The protocol version check of push/pull (protocol §16). Fed entry by entry, judged at the end, so that a remote list of
 * any length needs no memory: an entry is outside the common range exactly when the smallest or the largest version
 * spoken is.
 */
export class VersionCheck {
  #protocol = newRange();
  #delegate = newRange();

  /**
   * Adds one entry of either side. `bytes[at..at+length)` are its version bytes: alive entries with 5 or more narrow the range that all
   * must speak; an entry with fewer than 6 counts as speaking version 0.
   */
  add(status: number, bytes: Uint8Array, at: number, length: number): void {
    if (status === STATUS.alive && length >= 5) {
      narrow(this.#protocol, bytes[at] as number, bytes[at + 1] as number);
      narrow(this.#delegate, bytes[at + 3] as number, bytes[at + 4] as number);
    }
    speak(this.#protocol, length >= 6 ? (bytes[at + 2] as number) : 0);
    speak(this.#delegate, length >= 6 ? (bytes[at + 5] as number) : 0);
  }

  /** Undefined when all can talk to each other, else the reason in words. */
  verdict(): string | undefined {
    return complaint('protocol', this.#protocol) ?? complaint('delegate protocol', this.#delegate);
  }
}

interface VersionRange {
  min: number;
  max: number;
  lowest: number;
  highest: number;
}

function newRange(): VersionRange {
  return { min: 0, max: 255, lowest: Number.POSITIVE_INFINITY, highest: Number.NEGATIVE_INFINITY };
}

function narrow(range: VersionRange, min: number, max: number): void {
  range.min = Math.max(range.min, min);
  range.max = Math.min(range.max, max);
}

function speak(range: VersionRange, version: number): void {
  range.lowest = Math.min(range.lowest, version);
  range.highest = Math.max(range.highest, version);
}

function complaint(what: string, range: VersionRange): string | undefined {
  if (range.lowest >= range.min && range.highest <= range.max) return undefined;
  const version = range.lowest < range.min ? range.lowest : range.highest;
  return `a member speaks ${what} version ${version}, the others need ${range.min} to ${range.max}`;
}
