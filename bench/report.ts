import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg } from 'node:os';
import type { CaseResult, Timing } from './harness.ts';

/** Where and when a table was measured; a number without it means nothing. */
export interface Environment {
  readonly cpu: string;
  readonly cores: number;
  /** Load average of the last minute when the measuring began: above `cores` the machine was not ours alone. */
  readonly load: number;
  readonly platform: string;
  readonly node: string;
  readonly commit: string;
  readonly date: string;
  readonly command: string;
}

export function environment(command: string): Environment {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    load: Number((loadavg()[0] as number).toFixed(1)),
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    commit: commit(),
    date: new Date().toISOString().slice(0, 10),
    command,
  };
}

function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    const dirty = git('status', '--porcelain', '--', 'src', 'native').trim() === '' ? '' : ' with changes';
    return git('rev-parse', '--short', 'HEAD').trim() + dirty;
  } catch {
    return 'unknown';
  }
}

/** The results as Markdown, one table per suite. */
export function report(results: readonly CaseResult[]): string {
  const lines: string[] = [];
  for (const suite of new Set(results.map((result) => result.suite))) {
    lines.push(`| ${suite}, ns: median / p99 | native | twin | twin / native |`, '|---|---:|---:|---:|');
    lines.push(...results.filter((result) => result.suite === suite).map(row), '');
  }
  return lines.join('\n');
}

/** The method in two lines; `memberlist` is its version, '' without it. */
export function setting(where: Environment, memberlist: string): string[] {
  const peer = memberlist === '' ? '' : `, ${memberlist}`;
  return [
    `${where.cpu}, ${where.cores} cores (load ${where.load} at the start), ${where.platform}, Node ${where.node}${peer}, commit ${where.commit}, ${where.date}.`,
    `Command: \`${where.command}\`. Medians of interleaved rounds, every contender on the same bytes; the results are compared before they are timed.`,
  ];
}

function row(result: CaseResult): string {
  const { native, js } = result.timings;
  return `| ${result.name} | ${show(native)} | ${show(js)} | ${showRatio(result)} |`;
}

function show(timing: Timing | undefined): string {
  return timing ? `${nanos(timing.medianNs)} / ${nanos(timing.p99Ns)}` : 'not built';
}

function nanos(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** An interval around 1 says nothing about who is faster. */
function showRatio({ ratio }: CaseResult): string {
  if (!ratio) return '';
  if (ratio.low < 1 && ratio.high > 1) return `no difference (${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)})`;
  return `${ratio.median.toFixed(1)} (${ratio.low.toFixed(1)} to ${ratio.high.toFixed(1)})`;
}

/** Puts `table` between the markers of a document. Throws when they are not there. */
export function insertBetweenMarkers(document: string, name: string, table: string): string {
  const start = `<!-- ${name}:start -->`;
  const end = `<!-- ${name}:end -->`;
  const from = document.indexOf(start);
  const to = document.indexOf(end);
  if (from < 0 || to < from) throw new Error(`expected the markers ${start} and ${end} in this order`);
  return `${document.slice(0, from + start.length)}\n\n${table.trimEnd()}\n\n${document.slice(to)}`;
}
