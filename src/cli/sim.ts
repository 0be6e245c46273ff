import { createWriteStream, writeFileSync } from 'node:fs';
import { finished } from 'node:stream/promises';
import { Command, Option } from 'commander';
import { runSwarm } from '../pool/swarm.ts';
import { describeTrial, runMapTrial, runTrial, type TrialReport } from '../sim/index.ts';
import { EXIT_FAILED, EXIT_INTERRUPTED, integer, interruptSignal, outputFile } from './options.ts';
import { seconds, Terminal } from './terminal.ts';

type BackendChoice = 'native' | 'js' | 'mixed';

interface SimOptions {
  readonly seed: number;
  readonly maps?: boolean;
  readonly backend?: BackendChoice;
  readonly trace?: string;
  readonly quiet?: boolean;
}

interface SwarmCommandOptions {
  readonly seeds: number;
  readonly maps?: boolean;
  readonly from: number;
  readonly backend?: BackendChoice;
  readonly threads?: number;
  readonly json?: string;
  readonly quiet?: boolean;
}

const SEED_MAX = 2 ** 32 - 1;
/** Failing seeds that are told in full. */
const TOLD_MAX = 20;

const mapsOption = (): Option => new Option('--maps', 'a replicated map under faults, instead of membership alone');

const backendOption = (): Option =>
  new Option(
    '--backend <name>',
    'kernels of the nodes (default: what HEARSAY_BACKEND says, else native where built)',
  ).choices(['native', 'js', 'mixed']);

export function simCommand(): Command {
  return new Command('sim')
    .description('run one simulated cluster, all of it drawn from a seed, and check what it promises')
    .addHelpText(
      'after',
      `
Virtual time, real engines. The same seed does the same on every machine and on
either backend; the digest at the end is that of the trace.
Exit code 0: all promises held; 1: one was broken; 2: wrong arguments.`,
    )
    .option('-s, --seed <number>', 'what everything is drawn from', integer(0, SEED_MAX), 1)
    .addOption(mapsOption())
    .addOption(backendOption())
    .option('--trace <file>', 'write every event of every node to this file ("-": standard output)', outputFile)
    .option('-q, --quiet', 'print nothing but errors')
    .action(async (options: SimOptions) => {
      process.exitCode = await runSim(options);
    });
}

/** Runs one trial and prints it; returns the exit code. */
export async function runSim({ seed, maps, backend, trace, quiet }: SimOptions): Promise<number> {
  const terminal = new Terminal(quiet === true || trace === '-');
  const { bold, green, red } = terminal.color;
  const file = trace !== undefined && trace !== '-' ? createWriteStream(trace) : undefined;
  const fromMs = performance.now();
  const report = (maps ? runMapTrial : runTrial)(seed, {
    ...(backend ? { backend } : {}),
    ...(trace === '-' ? { trace: (line) => void process.stdout.write(`${line}\n`) } : {}),
    ...(file ? { trace: (line) => void file.write(`${line}\n`) } : {}),
  });
  file?.end();
  if (file) await finished(file);
  terminal.line(bold('hearsay sim'));
  for (const line of report.details ?? describeTrial(report.parameters)) terminal.line(`  ${line}`);
  terminal.line();
  terminal.line(
    `  ${seconds(report.virtualMs)} of theirs in ${seconds(performance.now() - fromMs)}: ${report.steps} steps, ${report.packets} packets; trace ${report.digest}`,
  );
  if (report.boundMs > 0) {
    terminal.line(`  the healed core agreed after ${seconds(report.healMs)}, the bound is ${seconds(report.boundMs)}`);
  }
  terminal.line(`  ${report.problem === undefined ? green('all promises held') : red(report.problem)}`);
  if (report.problem !== undefined && quiet) process.stderr.write(`hearsay: ${report.problem}\n`);
  return report.problem === undefined ? 0 : EXIT_FAILED;
}

export function swarmCommand(): Command {
  return new Command('sim-swarm')
    .description('run many simulated clusters, one per seed, on all processors')
    .addHelpText(
      'after',
      `
A seed that fails is listed with the command that runs it again.
Exit code 0: no seed failed; 1: one did; 2: wrong arguments; 130: interrupted.`,
    )
    .option('-n, --seeds <number>', 'how many', integer(1, 10_000_000), 200)
    .option('--from <number>', 'the first seed', integer(0, SEED_MAX), 1)
    .addOption(mapsOption())
    .addOption(backendOption())
    .option('--threads <number>', 'threads (default: one per processor)', integer(1, 256))
    .option('--json <file>', 'write the results to this file ("-": standard output)', outputFile)
    .option('-q, --quiet', 'print nothing but errors')
    .action(async (options: SwarmCommandOptions) => {
      process.exitCode = await runSwarmCommand(options);
    });
}

/** Runs the swarm and prints what came of it; returns the exit code. */
export async function runSwarmCommand(options: SwarmCommandOptions): Promise<number> {
  const { seeds, from, maps, backend, threads, json } = options;
  const terminal = new Terminal(options.quiet === true || json === '-');
  const { bold, dim, green, red } = terminal.color;
  const signal = interruptSignal();
  const failed: TrialReport[] = [];
  let count = 0;
  let virtualMs = 0;
  let steps = 0;
  let packets = 0;
  let slowest = 0;
  const fromMs = performance.now();
  terminal.line(`${bold('hearsay sim-swarm')}  ${seeds} seeds from ${from}`);
  const done = (report: TrialReport): void => {
    count++;
    virtualMs += report.virtualMs;
    steps += report.steps;
    packets += report.packets;
    if (report.boundMs > 0) slowest = Math.max(slowest, report.healMs / report.boundMs);
    if (report.problem !== undefined) {
      failed.push(report);
      if (failed.length <= TOLD_MAX) terminal.line(`  ${red('✗')} seed ${report.parameters.seed}: ${report.problem}`);
    }
    const leftMs = ((performance.now() - fromMs) / count) * (seeds - count);
    terminal.live(
      `  ${terminal.bar(count / seeds, 40)} ${count}/${seeds}  ${failed.length} failed  ${seconds(leftMs)} left`,
    );
  };
  try {
    await runSwarm({
      firstSeed: from,
      seeds,
      maps: maps === true,
      backend,
      ...(threads !== undefined ? { threads } : {}),
      signal,
      done,
    });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  const wallMs = performance.now() - fromMs;
  const interrupted = signal.aborted;
  if (interrupted) terminal.line('  interrupted');
  terminal.line(
    `  ${count} trials, ${seconds(virtualMs)} of virtual time, ${steps} steps, ${packets} packets in ${seconds(wallMs)} ${dim(`(${(count / (wallMs / 1000)).toFixed(1)} trials/s)`)}`,
  );
  terminal.line(`  slowest agreement: ${(100 * slowest).toFixed(0)} % of its bound`);
  const seedsFailed = failed.map(({ parameters }) => parameters.seed).sort((a, b) => a - b);
  if (seedsFailed.length === 0 && !interrupted) terminal.line(`  ${green('no seed failed')}`);
  for (const seed of seedsFailed.slice(0, TOLD_MAX))
    terminal.line(`  run it again: make sim SEED=${seed}${maps ? ' ARGS=--maps' : ''}`);
  if (json !== undefined) {
    const problems = failed.map(({ parameters, problem }) => ({ seed: parameters.seed, problem }));
    const record = {
      command: 'sim-swarm',
      maps: maps === true,
      from,
      seeds,
      done: count,
      interrupted,
      virtualMs,
      steps,
      packets,
      wallMs,
      slowest,
      problems,
    };
    const text = `${JSON.stringify(record, undefined, 2)}\n`;
    if (json === '-') process.stdout.write(text);
    else writeFileSync(json, text);
  }
  if (interrupted) return EXIT_INTERRUPTED;
  if (seedsFailed.length > 0 && options.quiet)
    process.stderr.write(`hearsay: seeds ${seedsFailed.join(', ')} failed\n`);
  return seedsFailed.length === 0 ? 0 : EXIT_FAILED;
}
