/** The table of README.md: what an operation takes each contender, what it must reach, and what it has reached. */
import { quantile } from '../harness.ts';
import { CONTENDERS, type ContenderName, type Target, VERSUS, type VersusCase } from './cases.ts';
import type { VersusResult } from './measure.ts';

const HEADS: Record<ContenderName, string> = {
  native: 'native',
  js: 'pure TypeScript',
  plain: 'plain JavaScript',
  memberlist: 'memberlist',
  bandwidth: 'memory read',
};

/** Columns without a single number are left out. */
export function versusReport(results: readonly VersusResult[]): string {
  const columns = CONTENDERS.filter((name) => results.some(({ timings }) => timings[name]));
  const lines = [
    `| operation | ${columns.map((name) => HEADS[name]).join(' | ')} | must reach | reached |`,
    `|---|${columns.map(() => '---:|').join('')}---|---|`,
  ];
  for (const result of results) {
    const test = VERSUS.find(({ id }) => id === result.id);
    if (!test) continue;
    const cells = columns.map((name) => duration(result.timings[name]?.medianNs));
    lines.push(`| ${test.title} | ${cells.join(' | ')} | ${targets(test)} | ${reached(test, result)} |`);
  }
  return lines.join('\n');
}

/** Median of the rounds' ratios of `slow` to `fast`; undefined where one of them was not measured. */
export function ratio(result: VersusResult, fast: ContenderName, slow: ContenderName): number | undefined {
  const [a, b] = [result.rounds[fast], result.rounds[slow]];
  if (!a || !b || a.length === 0) return undefined;
  return quantile(
    a.map((value, i) => (b[i] as number) / value),
    0.5,
  );
}

function targets(test: VersusCase): string {
  return test.targets.map((target) => `${HEADS[target.who]} ${wanted(target)}`).join('; ');
}

function wanted({ factor, than, atMostNs }: Target): string {
  if (atMostNs !== undefined) return `<= ${duration(atMostNs)}`;
  const other = HEADS[than ?? 'memberlist'];
  if (factor === 1) return `ahead of ${other}`;
  return (factor ?? 1) < 1 ? `within ${1 / (factor ?? 1)}x of ${other}` : `>= ${factor}x ${other}`;
}

function reached(test: VersusCase, result: VersusResult): string {
  return test.targets
    .map((target) => {
      if (target.atMostNs !== undefined) {
        const median = result.timings[target.who]?.medianNs;
        return median === undefined ? 'not measured' : verdict(duration(median), median <= target.atMostNs);
      }
      const times = ratio(result, target.who, target.than ?? 'memberlist');
      if (times === undefined) return 'not measured';
      const factor = target.factor ?? 1;
      const shown = factor < 1 ? `within ${(1 / times).toFixed(1)}x` : `${times.toFixed(1)}x`;
      return verdict(shown, times >= factor);
    })
    .join('; ');
}

function verdict(text: string, held: boolean): string {
  return held ? text : `**missed**: ${text}`;
}

function duration(ns: number | undefined): string {
  if (ns === undefined) return '';
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  return ns < 1e6 ? `${digits(ns / 1e3)} us` : `${digits(ns / 1e6)} ms`;
}

function digits(value: number): string {
  return value < 10 ? value.toFixed(value % 1 === 0 ? 0 : 2) : value.toFixed(value % 1 === 0 ? 0 : 1);
}
