import { HearsayError } from '../util/errors.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from './reconcile/port.ts';
import { VALUE_HEAD_BYTES } from './record.ts';

/** What a map holds at most. All nodes should have the same: what one takes and another refuses cannot become equal. */
export interface MapLimits {
  /** Bytes of a key (of an owner, a set and its elements likewise). Default 1,024, at most 1,024. */
  readonly keyBytes: number;
  /** Bytes of a value. Default 65,536, at most 1,048,000. */
  readonly valueBytes: number;
  /** Records, tombstones included. Default 1,000,000. */
  readonly records: number;
  /** Bytes of all keys and values. Default 256 MiB. */
  readonly totalBytes: number;
}

export const MAP_LIMITS: MapLimits = {
  keyBytes: 1024,
  valueBytes: 65_536,
  records: 1_000_000,
  totalBytes: 256 * 1024 * 1024,
};

const LIMITS_MAX: MapLimits = {
  keyBytes: 1024,
  valueBytes: VALUE_BYTES_MAX - VALUE_HEAD_BYTES - 556,
  records: 100_000_000,
  totalBytes: 2 ** 40,
};

/** Throws ERR_ARGUMENT_INVALID. */
export function checkLimits(limits: Partial<MapLimits> = {}): MapLimits {
  const checked = { ...MAP_LIMITS, ...limits };
  for (const [name, value] of Object.entries(checked)) {
    const max = LIMITS_MAX[name as keyof MapLimits];
    if (max === undefined) {
      throw new HearsayError(
        'ERR_ARGUMENT_INVALID',
        `limits: expected some of ${Object.keys(MAP_LIMITS).join(', ')}, got ${name}`,
      );
    }
    if (!Number.isInteger(value) || value < 1 || value > max) {
      throw new HearsayError(
        'ERR_ARGUMENT_INVALID',
        `limits.${name}: expected a whole number from 1 to ${max}, got ${String(value)}`,
      );
    }
  }
  return checked;
}

/** Throws ERR_MAP_LIMIT. */
export function checkLength(what: string, length: number, max: number): void {
  if (length >= 1 && length <= max) return;
  throw new HearsayError(
    'ERR_MAP_LIMIT',
    length < 1 ? `${what}: expected at least one byte` : `${what}: expected at most ${max} bytes, got ${length}`,
  );
}

/** Room that any record's key may take: two parts and a tag. */
export const RECORD_KEY_BYTES_MAX = Math.min(KEY_BYTES_MAX, 3 * 1024);
