import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { Command, Option } from 'commander';
import { htmlReport } from '../loadtest/html.ts';
import { type LoadTestReport, problemOf } from '../loadtest/report.ts';
import { checkMemory, estimateBytes, type Progress, runLoadTest, scenarioOf } from '../loadtest/run.ts';
import { killing, SCENARIOS, type Scenario } from '../loadtest/scenarios.ts';
import { simulateLoadTest } from '../loadtest/simulated.ts';
import type { ProfileName } from '../protocol/config.ts';
import { HearsayError } from '../util/errors.ts';
import { EXIT_FAILED, EXIT_INTERRUPTED, integer, interruptSignal, outputFile, ratio } from './options.ts';
import { pad, padLeft, seconds, Terminal } from './terminal.ts';

const EXIT_USAGE = 2;

interface LoadTestCommandOptions {
  readonly nodes: number;
  readonly scenario: string;
  readonly kill?: string;
  readonly loss?: number;
  readonly duration: number;
  readonly settle: number;
  readonly rehearsal: boolean;
  readonly profile: ProfileName;
  readonly start: 'acquainted' | 'join';
  readonly backend?: 'native' | 'js';
  readonly udp: 'auto' | 'dgram' | 'batched';
  readonly shards?: number;
  readonly seed: number;
  readonly simulate?: boolean;
  readonly json?: string;
  readonly html?: string;
  readonly quiet?: boolean;
}

export function loadTestCommand(): Command {
  return new Command('loadtest')
    .description('run thousands of real nodes on this machine, break some, and show when all others knew')
    .addHelpText(
      'after',
      `
Every node has an address of its own in 127.0.0.0/8 and an engine of its own, and
they talk through the kernel. Scenarios:
${SCENARIOS.map(({ name, what }) => `  ${name.padEnd(16)} ${what}`).join('\n')}
Exit code 0: done, and no live node was declared dead; 1: one was, or not all
killed ones were (a partition ends so: each half declares the other dead); 2:
wrong arguments, or too many nodes for this machine; 130: interrupted.`,
    )
    .option('-n, --nodes <number>', 'nodes', integer(2, 100_000), 1000)
    .option('--scenario <name>', 'what happens', 'kill-1%')
    .addOption(
      new Option('--kill <number or share>', 'kill so many at once ("10", "2%"), instead of a scenario').conflicts([
        'loss',
        'scenario',
      ]),
    )
    .addOption(
      new Option('--loss <share>', 'lose so many packets all the time ("1%"), instead of a scenario')
        .argParser(ratio(0.9))
        .conflicts('scenario'),
    )
    .option(
      '--duration <seconds>',
      'how long scenarios last; kills last until all others know, and 5 s more',
      integer(1, 3600),
      20,
    )
    .option('--settle <seconds>', 'rest before anything happens', integer(1, 600), 5)
    .option(
      '--no-rehearsal',
      'do not let some nodes fail and come back before anything is measured, while the code for it is compiled',
    )
    .addOption(
      new Option('--profile <name>', 'settings of all nodes').choices(['fast', 'lan', 'wan', 'local']).default('fast'),
    )
    .addOption(
      new Option('--start <how>', 'whether nodes know each other from the start, or join through the first')
        .choices(['acquainted', 'join'])
        .default('acquainted'),
    )
    .addOption(
      new Option('--backend <name>', 'kernels of the nodes (default: what HEARSAY_BACKEND says)').choices([
        'native',
        'js',
      ]),
    )
    .addOption(new Option('--udp <kind>', 'sockets').choices(['auto', 'batched', 'dgram']).default('auto'))
    .option('--shards <number>', 'threads (default: one per processor)', integer(1, 64))
    .addOption(
      new Option(
        '--simulate',
        'run the same scenario in the simulator, in virtual time and on the network of a LAN',
      ).conflicts(['shards', 'udp']),
    )
    .option('-s, --seed <number>', 'start of all random choices', integer(0, 2 ** 32 - 1), 1)
    .option('--json <file>', 'write the report to this file ("-": standard output)', outputFile)
    .option('--html <file>', 'write the report with plots to this file', outputFile)
    .option('-q, --quiet', 'print nothing but errors')
    .action(async (options: LoadTestCommandOptions) => {
      process.exitCode = await runLoadTestCommand(options);
    });
}

/** Runs a load test and prints what came of it; returns the exit code. */
export async function runLoadTestCommand(options: LoadTestCommandOptions): Promise<number> {
  const terminal = new Terminal(options.quiet === true || options.json === '-');
  const { bold, dim, red, yellow } = terminal.color;
  const shards = Math.min(options.shards ?? availableParallelism(), options.nodes);
  let scenario: Scenario;
  try {
    scenario = chosen(options);
    checkMemory(options.nodes);
  } catch (error) {
    if (!(error instanceof HearsayError)) throw error;
    process.stderr.write(`hearsay: ${error.message}\n`);
    return EXIT_USAGE;
  }
  const signal = interruptSignal();
  terminal.line(
    `${bold('hearsay loadtest')}  ${options.nodes.toLocaleString('en-US')} nodes, profile ${options.profile}, ${options.simulate ? 'simulated' : `${shards} threads`}: ${scenario.what}`,
  );
  terminal.line(dim(`  about ${(estimateBytes(options.nodes) / 2 ** 30).toFixed(1)} GiB of memory`));
  let report: LoadTestReport;
  try {
    const run = options.simulate ? simulateLoadTest : runLoadTest;
    report = await run({
      nodes: options.nodes,
      shards,
      profile: options.profile,
      tuning: {},
      backend: options.backend,
      udp: options.udp,
      scenario,
      start: options.start,
      durationMs: options.duration * 1000,
      settleMs: options.settle * 1000,
      rehearse: options.rehearsal,
      seed: options.seed,
      signal,
      progress: (moment) => terminal.live(liveLine(terminal, options.nodes, moment)),
    });
  } catch (error) {
    terminal.clearLive();
    if (signal.aborted) {
      terminal.line('  interrupted');
      return EXIT_INTERRUPTED;
    }
    process.stderr.write(`hearsay: ${error instanceof Error ? error.message : String(error)}\n`);
    return EXIT_FAILED;
  }
  terminal.clearLive();
  print(terminal, report);
  for (const problem of report.overload) terminal.line(`  ${yellow('the machine, not the protocol:')} ${problem}`);
  const where = `${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${cpus().length} processors, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}.`;
  if (options.html !== undefined) writeFileSync(options.html, htmlReport(report, where));
  const text = `${JSON.stringify({ command: 'loadtest', where, ...report }, undefined, 1)}\n`;
  if (options.json === '-') process.stdout.write(text);
  else if (options.json !== undefined) writeFileSync(options.json, text);
  const problem = problemOf(report);
  if (problem === undefined) return 0;
  terminal.line(`  ${red(problem)}`);
  if (options.quiet) process.stderr.write(`hearsay: ${problem}\n`);
  return EXIT_FAILED;
}

function chosen({ kill, loss, scenario, nodes }: LoadTestCommandOptions): Scenario {
  if (kill !== undefined) {
    const match = /^(\d+|\d+(?:\.\d+)?(?=%))(%?)$/.exec(kill);
    const count = match ? Math.round(Number(match[1]) * (match[2] === '%' ? nodes / 100 : 1)) : 0;
    if (count < 1 || count >= nodes) {
      throw new HearsayError(
        'ERR_ARGUMENT_INVALID',
        `--kill: expected a whole number from 1 to ${nodes - 1}, or a share of that many as "2%", got ${kill}`,
      );
    }
    return killing(`kill-${kill}`, `${count === 1 ? '1 node is' : `${count} nodes are`} killed at once`, () => count);
  }
  if (loss !== undefined) {
    return {
      name: `loss-${(100 * loss).toFixed(1)}%`,
      what: `${(100 * loss).toFixed(1)} % of the packets are lost`,
      run: async (stage, ms) => {
        stage.fault({ kind: 'loss', ratio: loss });
        await stage.wait(ms);
      },
    };
  }
  return scenarioOf(scenario);
}

function liveLine(terminal: Terminal, nodes: number, moment: Progress): string {
  const { phase, ms, view, live, packetsPerSecond, verdicts, verdictsExpected } = moment;
  const done = verdictsExpected > 0 ? verdicts / verdictsExpected : view.mean / Math.max(1, nodes);
  const rate = `${Math.round(packetsPerSecond / 1000)}k packets/s`;
  const what =
    verdictsExpected > 0
      ? `${verdicts.toLocaleString('en-US')} verdicts`
      : `${Math.round(view.mean).toLocaleString('en-US')} of ${live.toLocaleString('en-US')} seen`;
  return `  ${terminal.bar(done, 24)} ${phase}  ${seconds(ms)}  ${what}  ${rate}`;
}

function print(terminal: Terminal, report: LoadTestReport): void {
  const { bold, dim, green, red } = terminal.color;
  const { first, every, perNode } = report;
  const number = (value: number): string =>
    value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en-US');
  terminal.line();
  if (first && every) {
    terminal.line(
      dim(
        `  ${pad('from the kill, ms', 30)}${['p50', 'p90', 'p99', 'p99.9', 'longest'].map((name) => padLeft(name, 9)).join('')}`,
      ),
    );
    for (const [what, { p50, p90, p99, p999, max }] of [
      ['first verdict', first],
      ['every live node', every],
    ] as const) {
      terminal.line(
        `  ${bold(pad(what, 30))}${[p50, p90, p99, p999, max].map((ms) => padLeft(Math.round(ms).toLocaleString('en-US'), 9)).join('')}`,
      );
    }
    terminal.line(
      dim(
        `  ${report.verdicts.toLocaleString('en-US')} of ${report.verdictsExpected.toLocaleString('en-US')} verdicts about ${report.killed} killed${report.verdicts < report.verdictsExpected ? '; times are of those that came' : ''}`,
      ),
    );
    terminal.line();
  }
  if (report.start === 'join') {
    const joined = report.joinMs === undefined ? red('not in time') : seconds(report.joinMs);
    terminal.line(`  all saw all after          ${joined}`);
  }
  terminal.line(
    `  live nodes declared dead   ${report.accused === 0 ? green('0') : red(String(report.accused))}; ${report.suspicions} suspicions of live nodes`,
  );
  terminal.line(
    `  per node and second        ${number(perNode.packets.mean)} packets, ${number(perNode.bytes.mean)} bytes (p99 ${number(perNode.packets.p99)}, ${number(perNode.bytes.p99)})`,
  );
  const { min, max } = report.seen;
  terminal.line(
    `  in the end                 each live node sees ${min === max ? min : `${min} to ${max}`} alive${report.areAllAgreed ? '' : `, of ${report.live}`}`,
  );
  if (report.packets === 'simulated') return;
  terminal.line(
    `  machine                    ${(100 * report.cpu).toFixed(0)} % of a processor, ${(report.rssBytes / 2 ** 30).toFixed(2)} GiB; loops p99 ${report.loopDelay.p99.toFixed(0)} ms, timers ${report.lateness.mean.toFixed(1)} ms late, ${report.kernelDrops} packets dropped`,
  );
}
