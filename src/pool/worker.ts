import { move, transferableSymbol, valueSymbol } from 'piscina';
import { type PoolInput, runJob } from './jobs.ts';

/** The inside of the pool's thread: does a job and hands over the bytes that it made without copying them. */
export default function work(input: PoolInput): object {
  const output = runJob(input);
  const bytes = 'packed' in output ? output.packed : 'message' in output ? output.message : undefined;
  if (bytes === undefined) return output;
  return move({ [transferableSymbol]: [bytes.buffer], [valueSymbol]: output } as never) as object;
}
