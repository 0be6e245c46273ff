/** Full: the figures of docs/papers.md. Small: what the test suite runs, in a second or so each. */
export type Scale = 'full' | 'small';

/** One published number beside ours. */
export interface Row {
  readonly what: string;
  readonly published: string;
  readonly measured: string;
  readonly tolerance: string;
  readonly isPass: boolean;
  /** What is different here, and why a miss is one. */
  readonly note?: string;
}

export interface Report {
  readonly rows: readonly Row[];
  /** Series for the diagrams; goes to docs/data/<name>.json. */
  readonly data: unknown;
  /** More to say than rows can: Markdown below the table. */
  readonly lines?: readonly string[];
}

/** A paper, or one experiment of it: jobs that know nothing of each other, and what their results say together. */
export interface Experiment<Job, Result> {
  readonly name: string;
  readonly title: string;
  /** Authors, year, and the place in the paper. */
  readonly source: string;
  /** What runs: how much of the paper's setting, on which kind of model. */
  readonly method: string;
  jobs(scale: Scale): readonly Job[];
  /** Runs in a thread of its own: takes and gives what JSON can carry. Same job, same result. */
  work(job: Job): Result;
  report(results: readonly Result[], scale: Scale): Report;
}

/** An experiment whose jobs only its own functions look into. */
export type AnyExperiment = Experiment<never, unknown>;

/** Runs all jobs here, one after the other. */
export function runHere<Job, Result>(experiment: Experiment<Job, Result>, scale: Scale): Report {
  return experiment.report(
    experiment.jobs(scale).map((job) => experiment.work(job)),
    scale,
  );
}

interface About {
  readonly unit?: string;
  readonly note?: string;
}

/** Passes when the two differ by at most `share` of the published number. */
export function near(what: string, measured: number, published: number, share: number, about: About = {}): Row {
  return row(
    what,
    published,
    measured,
    `±${percent(share)}`,
    Math.abs(measured - published) <= share * Math.abs(published),
    about,
  );
}

/** Passes when the two differ by at most `by`, in their unit. */
export function around(what: string, measured: number, published: number, by: number, about: About = {}): Row {
  return row(what, published, measured, `±${show(by)}`, Math.abs(measured - published) <= by, about);
}

/** Passes when at most `limit` is measured. */
export function atMost(what: string, measured: number, published: number, limit: number, about: About = {}): Row {
  return row(what, published, measured, `≤ ${show(limit)}`, measured <= limit, about);
}

function row(
  what: string,
  published: number,
  measured: number,
  tolerance: string,
  isPass: boolean,
  { unit = '', note }: About,
): Row {
  const suffix = unit === '' ? '' : ` ${unit}`;
  return {
    what,
    published: show(published) + suffix,
    measured: show(measured) + suffix,
    tolerance,
    isPass,
    ...(note === undefined ? {} : { note }),
  };
}

/** Four digits that say something. */
export function show(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return 'never';
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size < 1e-3) return value.toExponential(1);
  if (size >= 1e4) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(size < 1 ? 3 : 4)));
}

export function percent(share: number): string {
  return `${show(100 * share)} %`;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The value below which this share of them lies, nearest rank; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
}
