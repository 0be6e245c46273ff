import { experimentOf } from './experiments.ts';

/** A thread of `make papers`: one job of one experiment. */
export default ({ name, job }: { readonly name: string; readonly job: unknown }): unknown =>
  experimentOf(name).work(job as never);
