/**
 * How a case is measured. Goals: the two engines of a kernel compared on the same work, in one process, in turns, so that a
 * busy machine hits both; a proof that both did the same work. Non-goal: absolute numbers that hold on another machine.
 */
import { createHash } from 'node:crypto';
import { Bench } from 'tinybench';
import { type Backend, chooseBackend } from '../src/kernels/backend.ts';
import type { BackendName } from '../src/kernels/contract.ts';
import { hasNativeClass } from '../src/kernels/native.ts';

export interface Timed {
  /** What has to be done before each run and is not part of it. */
  before?(): void;
  /** The measured work: `operations` times whatever the case is named after. */
  run(): void;
}

/** One prepared engine. */
export interface Subject extends Timed {
  /** What the work has left behind: arenas, results. Must be the same bytes for every engine after the same runs. */
  output(): readonly Uint8Array[];
}

export interface BenchCase {
  readonly name: string;
  /** Operations in one run(), so that a run is long against the clock's resolution. */
  readonly operations: number;
  /** Part of smoke runs: small and quick. */
  readonly smoke?: boolean;
  setup(backend: Backend): Subject;
}

export interface BenchSuite {
  readonly name: string;
  readonly cases: readonly BenchCase[];
}

export interface Timing {
  /** Per operation, over all rounds. */
  readonly medianNs: number;
  readonly p99Ns: number;
  readonly samples: number;
}

export interface CaseResult {
  readonly suite: string;
  readonly name: string;
  readonly operations: number;
  readonly timings: Partial<Record<BackendName, Timing>>;
  /**
   * Median of the rounds' ratios twin / native, and the second lowest and second highest of them: with nine rounds the true
   * median lies between those two with 96 % confidence, whatever the distribution. Absent without native.
   */
  readonly ratio?: { readonly median: number; readonly low: number; readonly high: number };
  /** Of the output after the same runs, equal for all engines. */
  readonly hash: string;
}

export interface MeasureOptions {
  /** Time per engine and round, ms. */
  readonly roundMs: number;
  readonly rounds: number;
}

export const MEASURE: MeasureOptions = { roundMs: 100, rounds: 9 };
/** Enough to run every line once; the numbers mean nothing. */
export const SMOKE: MeasureOptions = { roundMs: 0, rounds: 1 };

const HASHED_RUNS = 3;

/** The engines of this machine: the twin always, C++ when the addon is there. */
export function benchBackends(): Backend[] {
  return [...(hasNativeClass('PacketCodec') ? [chooseBackend('native')] : []), chooseBackend('js')];
}

/** Measures one case on all engines. Throws when their outputs differ. */
export function measure(suite: string, test: BenchCase, options: MeasureOptions): CaseResult {
  const backends = benchBackends();
  const hash = commonHash(test, backends);
  const subjects = backends.map((backend) => test.setup(backend));
  const samples = backends.map((): number[] => []);
  const roundMedians = backends.map((): number[] => []);
  // The first round compiles and does not count.
  for (let round = -1; round < options.rounds; round++) {
    // A B B A: neither engine always follows the other.
    const turns = backends.map((_, i) => (round % 2 === 0 ? i : backends.length - 1 - i));
    for (const turn of turns) {
      const latencies = timeRound(subjects[turn] as Subject, test.operations, options.roundMs);
      if (round < 0) continue;
      for (const latency of latencies) samples[turn]?.push(latency);
      roundMedians[turn]?.push(quantile(latencies, 0.5));
    }
  }
  const timings: CaseResult['timings'] = Object.fromEntries(
    backends.map((backend, i) => [backend.name, timing(samples[i] as number[])]),
  );
  const [native, twin] = roundMedians;
  const result = { suite, name: test.name, operations: test.operations, timings, hash };
  if (!native || !twin) return result;
  const ratios = native.map((value, i) => (twin[i] as number) / value).sort((a, b) => a - b);
  const outer = ratios.length < 9 ? 0 : 1;
  const low = ratios[outer] as number;
  const high = ratios[ratios.length - 1 - outer] as number;
  const ratio = { median: quantile(ratios, 0.5), low, high };
  return { ...result, ratio };
}

function commonHash(test: BenchCase, backends: readonly Backend[]): string {
  const hashes = backends.map((backend) => {
    const subject = test.setup(backend);
    for (let i = 0; i < HASHED_RUNS; i++) subject.run();
    const hash = createHash('sha256');
    for (const bytes of subject.output()) hash.update(bytes);
    return hash.digest('hex').slice(0, 16);
  });
  if (new Set(hashes).size > 1) throw new Error(`${test.name}: the engines' outputs differ (${hashes.join(', ')})`);
  return hashes[0] as string;
}

/** Nanoseconds per operation of each sample. */
export function timeRound(subject: Timed, operations: number, roundMs: number): number[] {
  const bench = new Bench({
    time: roundMs,
    iterations: 1,
    warmup: false,
    retainSamples: true,
    throws: true,
    timestampProvider: 'hrtimeNow',
  });
  bench.add('case', () => subject.run(), { async: false, beforeEach: () => subject.before?.() });
  const [task] = bench.runSync();
  const result = task?.result;
  if (result?.state !== 'completed') throw new Error(`benchmark ended as ${result?.state}`);
  return (result.latency.samples ?? []).map((ms) => (ms * 1e6) / operations);
}

export function timing(samples: readonly number[]): Timing {
  return { medianNs: quantile(samples, 0.5), p99Ns: quantile(samples, 0.99), samples: samples.length };
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] as number;
}
