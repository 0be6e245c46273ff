import { bytesOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';
import { dataProblem, isIntegerWithin, isRecord, parseKey, seedProblems, unknownKeys } from './checks.ts';
import { complaint } from './describe.ts';

/** Checks of what programs pass to the methods of a cluster: each throws ERR_ARGUMENT_INVALID that names the argument. */

const MS_MAX = 2 ** 31 - 1;

/** Bytes of a message or of metadata. */
export function dataArgument(field: string, data: unknown): Uint8Array {
  const problem = dataProblem(field, data);
  if (problem !== undefined) throw invalid(problem);
  return typeof data === 'string' ? bytesOf(data) : (data as Uint8Array);
}

/** The name or address that a member, a name or an "ip:port" stands for. */
export function targetArgument(field: string, target: unknown): string {
  const name = isRecord(target) ? target['name'] : target;
  if (typeof name !== 'string' || name === '')
    throw invalid(complaint(field, target, 'a member, its name or its "ip:port"'));
  return name;
}

/** A list with at least one seed. */
export function seedsArgument(seeds: unknown): readonly string[] {
  const problems = seedProblems(seeds);
  if (Array.isArray(seeds) && seeds.length === 0) problems.push(complaint('seeds', seeds, 'at least one "host:port"'));
  if (problems.length > 0) throw invalid(problems.join('; '));
  return [...(seeds as string[])];
}

/** A duration, ms. */
export function msArgument(field: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (isIntegerWithin(value, 0, MS_MAX)) return value;
  throw invalid(complaint(field, value, `a whole number of ms from 0 to ${MS_MAX}`));
}

export function booleanArgument(field: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? fallback;
  throw invalid(complaint(field, value, 'true or false'));
}

/** The last argument of a method: an object with these keys and no others. */
export function optionsArgument<K extends string>(
  options: unknown,
  known: readonly K[],
): Readonly<Partial<Record<K, unknown>>> {
  if (!isRecord(options)) throw invalid(complaint('options', options, `an object with ${known.join(', ')}`));
  const unknown = unknownKeys('', options, known);
  if (unknown.length > 0) throw invalid(unknown.join('; '));
  return options as Readonly<Partial<Record<K, unknown>>>;
}

/** Bytes of an encryption key. Throws ERR_KEY_INVALID. */
export function keyArgument(key: unknown): Uint8Array {
  const parsed = parseKey(key);
  if (typeof parsed === 'string') throw new HearsayError('ERR_KEY_INVALID', `key: ${parsed}`);
  return parsed;
}

function invalid(message: string): HearsayError {
  return new HearsayError('ERR_ARGUMENT_INVALID', message);
}
