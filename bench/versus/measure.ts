/**
 * Measures one comparison: all contenders in turns (A B C D, D C B A, ...), those of other programs in processes that wait in between.
 */
import { OtherProgram } from '../drivers/other-program.ts';
import { benchBackends, type MeasureOptions, quantile, type Timing, timeRound, timing } from '../harness.ts';
import type { ContenderName, VersusCase } from './cases.ts';
import type { VersusSubject } from './contenders.ts';
import { makeInputs } from './inputs.ts';

export interface VersusResult {
  readonly id: string;
  readonly timings: Partial<Record<ContenderName, Timing>>;
  /** Medians of each round, in nanoseconds per operation: the base of ratios. */
  readonly rounds: Partial<Record<ContenderName, readonly number[]>>;
  /** What all contenders left behind after the same run. */
  readonly view: string;
}

/** Contenders that are other programs, '' where there is none. */
export interface Programs {
  readonly memberlist: string;
  readonly bandwidth: string;
  /** Where writeInputs() has written. */
  readonly inputs: string;
}

interface Contender {
  readonly name: ContenderName;
  round(ms: number): Promise<readonly number[]> | readonly number[];
  view?(): Promise<string> | string;
  end?(): void;
}

/** Throws when the contenders' results differ. */
export async function measureVersus(
  test: VersusCase,
  programs: Programs,
  options: MeasureOptions,
): Promise<VersusResult> {
  const contenders = contendersOf(test, programs);
  try {
    const view = await commonView(test, contenders);
    const samples = contenders.map((): number[] => []);
    const rounds = contenders.map((): number[] => []);
    const order = contenders.map((_, i) => i);
    // The first round compiles and does not count.
    for (let round = -1; round < options.rounds; round++) {
      for (const turn of round % 2 === 0 ? order : [...order].reverse()) {
        const latencies = (await contenders[turn]?.round(options.roundMs)) ?? [];
        if (round < 0) continue;
        for (const latency of latencies) samples[turn]?.push(latency);
        rounds[turn]?.push(quantile(latencies, 0.5));
      }
    }
    const byName = <T>(values: readonly T[]) => Object.fromEntries(contenders.map(({ name }, i) => [name, values[i]]));
    return { id: test.id, timings: byName(samples.map(timing)), rounds: byName(rounds), view };
  } finally {
    for (const contender of contenders) contender.end?.();
  }
}

function contendersOf(test: VersusCase, programs: Programs): Contender[] {
  const inputs = makeInputs();
  const contenders: Contender[] = benchBackends().map((backend) =>
    inProcess(backend.name, test.kernels(backend, inputs), test.operations),
  );
  if (test.plain) contenders.push(inProcess('plain', test.plain(inputs), test.operations));
  const { program } = test;
  if (program !== undefined && programs[program] !== '') {
    const child = new OtherProgram(programs[program], [test.id, programs.inputs]);
    contenders.push({
      name: program,
      round: (ms) => child.round(ms),
      ...(program === 'memberlist' ? { view: () => child.view() } : {}),
      end: () => child.end(),
    });
  }
  return contenders;
}

/** After one run each. */
async function commonView(test: VersusCase, contenders: readonly Contender[]): Promise<string> {
  const views = new Map<string, string>();
  for (const contender of contenders) {
    await contender.round(0);
    const view = await contender.view?.();
    if (view !== undefined) views.set(contender.name, view);
  }
  const distinct = new Set(views.values());
  if (distinct.size > 1)
    throw new Error(`${test.id}: the results differ: ${JSON.stringify(Object.fromEntries(views))}`);
  return [...distinct][0] ?? '';
}

function inProcess(name: ContenderName, subject: VersusSubject, operations: number): Contender {
  return { name, round: (ms) => timeRound(subject, operations / (subject.scale ?? 1), ms), view: () => subject.view() };
}
