import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { Fleet } from './fleet.ts';
import { type ActResult, acts, NAMES, type Stage, watchEvents } from './membership-acts.ts';
import { EXIT_FAILED, EXIT_INTERRUPTED, integer, interruptSignal, outputFile } from './options.ts';
import { pad, padLeft, seconds, Terminal } from './terminal.ts';
import { Interrupted } from './wait.ts';

interface MembershipOptions {
  readonly seed: number;
  readonly json?: string;
  readonly quiet?: boolean;
}

/** Failed members are tried again this often, so that the healed partition is one cluster within seconds. */
const REJOIN_INTERVAL_MS = 1000;
/**
 * In a cluster of eight, memberlist sends each news only 4 times per member, which now and then misses one; comparing all they know
 * this often (instead of every 30 s) keeps the show short.
 */
const PUSH_PULL_INTERVAL_MS = 2000;

export function membershipCommand(): Command {
  return new Command('membership')
    .description('show what a program sees when members join, change, leave, crash, are accused and come back')
    .addHelpText(
      'after',
      `
Eight real nodes on loopback; each line is an event of the API as one of their
programs gets it. Faults are injected between the nodes and their sockets.
Exit code 0: everything happened as expected; 1: something did not; 2: wrong
arguments.`,
    )
    .option('-s, --seed <number>', 'start of all random choices', integer(0, 2 ** 32 - 1), 1)
    .option('--json <file>', 'write the results to this file ("-": standard output)', outputFile)
    .option('-q, --quiet', 'print nothing but errors')
    .action(async (options: MembershipOptions) => {
      process.exitCode = await runMembership(options);
    });
}

/** Runs the show; returns the exit code. */
export async function runMembership(options: MembershipOptions): Promise<number> {
  const terminal = new Terminal(options.quiet === true || options.json === '-');
  const { bold, dim, green, red } = terminal.color;
  const signal = interruptSignal();
  const fleet = new Fleet({
    size: NAMES.length,
    names: NAMES,
    metaOf: (index) => `role=${index % 2 === 0 ? 'web' : 'store'} version=1`,
    rngSeed: options.seed,
    common: {
      profile: 'lan',
      rejoinIntervalMs: REJOIN_INTERVAL_MS,
      tuning: { pushPullIntervalMs: PUSH_PULL_INTERVAL_MS },
    },
  });
  const stage: Stage = { fleet, terminal, signal, fromMs: performance.now(), watched: new Set([NAMES[0]]) };
  watchEvents(stage);
  const results: ActResult[] = [];
  let problem: string | undefined;
  let interrupted = false;
  terminal.line(
    `${bold('hearsay membership')}  ${NAMES.length} nodes, profile lan; events as ${NAMES[0]}'s program gets them`,
  );
  try {
    await fleet.probeAddresses();
    for (const act of acts) {
      terminal.heading(act.title, act.note);
      stage.fromMs = performance.now();
      const outcome = await act.run(stage);
      results.push({ title: act.title, outcome, ms: performance.now() - stage.fromMs });
    }
  } catch (error) {
    if (error instanceof Interrupted) interrupted = true;
    else problem = error instanceof Error ? error.message : String(error);
  }
  if (interrupted) terminal.line('\n  interrupted');
  else {
    terminal.heading('Summary');
    terminal.line();
    for (const act of acts) {
      const result = results.find((each) => each.title === act.title);
      const [outcome, time, mark] =
        result === undefined ? [red('did not happen'), '', red('✗')] : [result.outcome, seconds(result.ms), green('✓')];
      terminal.line(`  ${pad(bold(act.title), 17)} ${pad(outcome, 46)} ${dim(padLeft(time, 8))}  ${mark}`);
    }
    terminal.line();
    terminal.line(`  ${problem === undefined ? green('all of it happened') : red(problem)}`);
    const record = {
      command: 'membership',
      rngSeed: options.seed,
      ok: problem === undefined,
      problem: problem ?? null,
      acts: results,
    };
    const text = `${JSON.stringify(record, undefined, 2)}\n`;
    if (options.json === '-') process.stdout.write(text);
    else if (options.json !== undefined) writeFileSync(options.json, text);
  }
  await fleet.stop();
  if (problem !== undefined) process.stderr.write(`hearsay: ${problem}\n`);
  return interrupted ? EXIT_INTERRUPTED : problem === undefined ? 0 : EXIT_FAILED;
}
