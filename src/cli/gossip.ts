import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Command, Option } from 'commander';
import type { ProfileName } from '../cluster/options.ts';
import { PROFILES } from '../protocol/config.ts';
import { loss } from '../transport/faulty.ts';
import { Prng } from '../util/prng.ts';
import { Fleet } from './fleet.ts';
import { crash, join, type Measured, recover, rumor, type Show, settle } from './gossip-acts.ts';
import { printSummary } from './gossip-summary.ts';
import { EXIT_FAILED, EXIT_INTERRUPTED, integer, interruptSignal, outputFile, ratio } from './options.ts';
import { Terminal } from './terminal.ts';
import { Theory } from './theory.ts';
import { DidNotHappen, Interrupted } from './wait.ts';

interface GossipOptions {
  readonly nodes: number;
  readonly profile: ProfileName;
  readonly loss: number;
  readonly seed: number;
  readonly udp: 'auto' | 'dgram' | 'batched';
  readonly json?: string;
  readonly quiet?: boolean;
}

/**
 * How often two members compare all they know: oftener than in memberlist's profiles (30 s), so that the few news that gossip misses are
 * repaired within the show, but not so often that this work, which grows with the square of the members, is the show.
 */
function pushPullIntervalMs(members: number): number {
  return Math.max(2500, 12 * members);
}

export function gossipCommand(): Command {
  return new Command('gossip')
    .description('run a whole cluster on this machine and measure it against the theory')
    .addHelpText(
      'after',
      `
What happens: all nodes start and find each other; one broadcasts a rumor; one
crashes and is found out; it comes back. Real sockets, one loopback address per
node, all nodes in this process. Exit code 0: all of it happened; 1: something
did not; 2: wrong arguments. From some 500 nodes on, this one process and its
one core are the limit and not the protocol: acts may then time out.

Examples:
  hearsay gossip --nodes 50 --profile local      under 15 seconds
  hearsay gossip --loss 10%                      every tenth packet is lost
  hearsay gossip --json result.json --quiet      for programs`,
    )
    .option('-n, --nodes <count>', 'members of the cluster', integer(3, 5000), 300)
    .addOption(new Option('-p, --profile <name>', "memberlist's timings").choices(Object.keys(PROFILES)).default('lan'))
    .option('-l, --loss <share>', 'packets to lose, as 0.05 or 5%', ratio(0.9), 0)
    .option('-s, --seed <number>', 'start of all random choices', integer(0, 2 ** 32 - 1), 1)
    .addOption(new Option('--udp <kind>', 'UDP sockets').choices(['auto', 'dgram', 'batched']).default('auto'))
    .option('--json <file>', 'write what was measured and predicted to this file ("-": standard output)', outputFile)
    .option('-q, --quiet', 'print nothing but errors')
    .action(async (options: GossipOptions) => {
      process.exitCode = await runGossip(options);
    });
}

/** Runs the show; returns the exit code. */
export async function runGossip(options: GossipOptions): Promise<number> {
  const terminal = new Terminal(options.quiet === true || options.json === '-');
  const signal = interruptSignal();
  const config = PROFILES[options.profile]({ name: 'n', address: { ip: new Uint8Array(4), port: 1 } });
  const fleet = new Fleet({
    size: options.nodes,
    rngSeed: options.seed,
    udp: options.udp,
    common: { profile: options.profile, tuning: { pushPullIntervalMs: pushPullIntervalMs(options.nodes) } },
  });
  if (options.loss > 0) fleet.network.add(loss(options.loss));
  const show: Show = {
    fleet,
    terminal,
    signal,
    config,
    theory: new Theory(options.nodes, config, options.loss),
    random: new Prng(options.seed),
  };
  const measured: Measured = {};
  let problem: string | undefined;
  let interrupted = false;
  const startedMs = performance.now();
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  try {
    await fleet.probeAddresses();
    await join(show, measured, options);
    await settle(show);
    // Starting is heavy by itself; what counts is whether the measured acts ran freely.
    delay.reset();
    await rumor(show, measured);
    const victim = await crash(show, measured);
    await recover(show, measured, victim);
  } catch (error) {
    if (error instanceof Interrupted) interrupted = true;
    else problem = explain(error);
  }
  terminal.clearLive();
  if (interrupted) terminal.line('\n  interrupted');
  else {
    const record = await printSummary(show, measured, {
      ...options,
      wallMs: performance.now() - startedMs,
      longestPauseMs: delay.max / 1e6,
      problem,
    });
    if (options.json !== undefined) {
      const text = `${JSON.stringify(record, roundMs, 2)}\n`;
      if (options.json === '-') process.stdout.write(text);
      else writeFileSync(options.json, text);
    }
  }
  await fleet.stop();
  if (problem !== undefined) process.stderr.write(`hearsay: ${problem}\n`);
  return interrupted ? EXIT_INTERRUPTED : problem === undefined ? 0 : EXIT_FAILED;
}

/** Tenths of a ms are as good as this clock gets. */
function roundMs(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value * 10) / 10 : value;
}

function explain(error: unknown): string {
  if (error instanceof DidNotHappen) return error.message;
  const message = error instanceof Error ? error.message : String(error);
  if (/EMFILE|ENFILE/.test(message)) {
    return `${message}: too many open files; each node needs 2 sockets, raise the limit (ulimit -n) or use fewer --nodes`;
  }
  return message;
}
