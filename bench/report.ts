import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus } from 'node:os';
import type { CaseResult, Timing } from './harness.ts';

/** Where and when a table was measured; a number without it means nothing. */
export interface Environment {
  readonly cpu: string;
  readonly cores: number;
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
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    commit: commit(),
    date: new Date().toISOString().slice(0, 10),
    command,
  };
}

function commit(): string {
  const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    const dirty = git('status', '--porcelain', '--', 'src', 'native').trim() === '' ? '' : ' with changes';
    return git('rev-parse', '--short', 'HEAD').trim() + dirty;
  } catch {
    return 'unknown';
  }
}

/** The results as Markdown, one table per suite, header line first. */
export function report(results: readonly CaseResult[], where: Environment): string {
  const lines = [
    `${where.cpu}, ${where.cores} cores, ${where.platform}, Node ${where.node}, commit ${where.commit}, ${where.date}.`,
    `Command: \`${where.command}\`. Nanoseconds per operation, median / p99.`,
    '',
  ];
  for (const suite of new Set(results.map((result) => result.suite))) {
    lines.push(`| ${suite} | native | twin | twin / native |`, '|---|---:|---:|---:|');
    for (const result of results.filter((each) => each.suite === suite)) {
      const { native, js } = result.timings;
      lines.push(`| ${result.name} | ${show(native)} | ${show(js)} | ${showRatio(result)} |`);
    }
    lines.push('');
  }
  return lines.join('\n');
}

function show(timing: Timing | undefined): string {
  return timing ? `${nanos(timing.medianNs)} / ${nanos(timing.p99Ns)}` : 'not built';
}

function nanos(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** A ratio that was below 1 in one round and above it in another says nothing. */
function showRatio({ ratio }: CaseResult): string {
  if (!ratio) return '';
  if (ratio.low < 1 && ratio.high > 1) return `no difference (${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)})`;
  return `${ratio.median.toFixed(1)} (${ratio.low.toFixed(1)} to ${ratio.high.toFixed(1)})`;
}

/** Puts `table` between the markers of a document. Throws when they are not there. */
export function insertBetweenMarkers(document: string, name: string, table: string): string {
  const begin = `<!-- ${name}:begin -->`;
  const end = `<!-- ${name}:end -->`;
  const from = document.indexOf(begin);
  const to = document.indexOf(end);
  if (from < 0 || to < from) throw new Error(`expected the markers ${begin} and ${end} in this order`);
  return `${document.slice(0, from + begin.length)}\n\n${table.trimEnd()}\n\n${document.slice(to)}`;
}
