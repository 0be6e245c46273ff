import type { Measured, Show } from './gossip-acts.ts';
import { pad, padLeft, seconds } from './terminal.ts';

const LABEL_COLUMNS = 48;
/** A measured value agrees with the theory up to this factor, either way. */
const AGREES_RATIO = 2;
/** Times this close agree whatever the factor: two gossip ticks. */
const AGREES_MS = 400;
const count = new Intl.NumberFormat('en-US');

interface Row {
  readonly key: string;
  readonly text: string;
  readonly measured: number | undefined;
  readonly predicted: number;
  readonly unit: 'ms' | 'members';
}

export interface SummaryContext {
  readonly nodes: number;
  readonly profile: string;
  readonly loss: number;
  readonly seed: number;
  readonly wallMs: number;
  /** How long this process, with all its nodes, did not get on at worst. */
  readonly longestPauseMs: number;
  readonly problem: string | undefined;
}

/** The last act: what happened beside what theory says. Returns the record for --json. */
export async function printSummary(show: Show, measured: Measured, context: SummaryContext): Promise<object> {
  const { terminal, fleet } = show;
  const { bold, dim, green, red, yellow } = terminal.color;
  const rows = summaryRows(show, measured);
  terminal.heading('Measured against predicted');
  terminal.line();
  terminal.line(dim(`  ${pad('', LABEL_COLUMNS)}${padLeft('measured', 12)}${padLeft('predicted', 12)}`));
  for (const row of rows) {
    const mark = row.measured === undefined ? red('✗') : agrees(row) ? green('✓') : yellow('~');
    const value = row.measured === undefined ? red('not seen') : bold(valueText(row.measured, row.unit));
    terminal.line(
      `  ${pad(row.text, LABEL_COLUMNS)}${padLeft(value, 12)}${padLeft(valueText(row.predicted, row.unit), 12)}  ${mark}`,
    );
  }
  const packets = await fleet.sum((stats) => stats.transport.packetsSent);
  const bytes = await fleet.sum((stats) => stats.transport.bytesSent);
  const dropped = await fleet.sum((stats) => stats.transport.packetsDropped);
  const cpu = process.cpuUsage();
  const cpuMs = (cpu.user + cpu.system) / 1000;
  const rss = process.memoryUsage.rss();
  terminal.line();
  terminal.line(
    dim(
      `  ${count.format(packets)} packets, ${mebi(bytes)} sent; lost on purpose ${count.format(fleet.network.dropped)}, dropped by the system ${count.format(dropped)}`,
    ),
  );
  terminal.line(dim(`  ✓ happened within ${AGREES_RATIO}x of the prediction, ~ happened, but not as predicted`));
  terminal.line(dim(`  ${seconds(context.wallMs)} in all, ${seconds(cpuMs)} of CPU, ${mebi(rss)} of memory`));
  if (context.longestPauseMs > show.config.gossipIntervalMs) {
    const text = `all nodes stood still for up to ${seconds(context.longestPauseMs)}: the machine is busy, times are longer`;
    terminal.line(terminal.color.yellow(`  ${text}`));
  }
  terminal.line();
  const verdict = context.problem === undefined ? green('all of it happened') : red(context.problem);
  terminal.line(`  ${verdict}`);
  return {
    command: 'gossip',
    nodes: context.nodes,
    profile: context.profile,
    lossPercent: context.loss * 100,
    rngSeed: context.seed,
    ok: context.problem === undefined,
    problem: context.problem ?? null,
    results: Object.fromEntries(
      rows.map((row) => [row.key, { unit: row.unit, measured: row.measured ?? null, predicted: row.predicted }]),
    ),
    rumorTimesMs: measured.rumorTimesMs ?? [],
    totals: {
      wallMs: context.wallMs,
      longestPauseMs: context.longestPauseMs,
      cpuMs,
      rssBytes: rss,
      packetsSent: packets,
      bytesSent: bytes,
      packetsDropped: dropped,
      packetsLostOnPurpose: fleet.network.dropped,
    },
    node: process.version,
  };
}

/** True when a value lies within AGREES_RATIO of its prediction, or within a gossip tick's worth of time of it. */
function agrees({ measured, predicted, unit }: Row): boolean {
  if (measured === undefined) return false;
  if (unit === 'ms' && Math.abs(measured - predicted) <= AGREES_MS) return true;
  return measured <= predicted * AGREES_RATIO && measured >= predicted / AGREES_RATIO;
}

function summaryRows({ fleet, theory }: Show, measured: Measured): Row[] {
  const { firstSuspicionMs, firstDeadMs, allKnowMs } = measured;
  const between = (from: number | undefined, to: number | undefined): number | undefined =>
    from === undefined || to === undefined ? undefined : to - from;
  return [
    {
      key: 'joinMs',
      text: 'joining: from the last start until all know all',
      measured: measured.joinMs,
      predicted: theory.joinMs(fleet.nameOf(0).length),
      unit: 'ms',
    },
    {
      key: 'rumorHalfMs',
      text: 'rumor: until half of the members know',
      measured: measured.rumorHalfMs,
      predicted: theory.halfMs(),
      unit: 'ms',
    },
    {
      key: 'rumorAllMs',
      text: 'rumor: until the last member knows',
      measured: measured.rumorAllMs,
      predicted: theory.allMs(),
      unit: 'ms',
    },
    {
      key: 'rumorReached',
      text: 'rumor: members reached',
      measured: measured.rumorReached,
      predicted: theory.n - theory.missed(),
      unit: 'members',
    },
    {
      key: 'firstSuspicionMs',
      text: 'crash: until the first suspicion',
      measured: firstSuspicionMs,
      predicted: theory.firstSuspicionMs(),
      unit: 'ms',
    },
    {
      key: 'suspicionMs',
      text: 'crash: from suspicion to the first verdict',
      measured: between(firstSuspicionMs, firstDeadMs),
      predicted: theory.suspicionMs(),
      unit: 'ms',
    },
    {
      key: 'verdictSpreadMs',
      text: 'crash: from verdict until all know',
      measured: between(firstDeadMs, allKnowMs),
      predicted: theory.allMs(),
      unit: 'ms',
    },
    {
      key: 'recoveryMs',
      text: 'recovery: until alive everywhere',
      measured: measured.recoveryMs,
      predicted: theory.allMs(),
      unit: 'ms',
    },
    {
      key: 'wronglyDead',
      text: 'live members that were declared dead',
      measured: measured.wronglyDead,
      predicted: 0,
      unit: 'members',
    },
  ];
}

function valueText(value: number, unit: Row['unit']): string {
  if (unit === 'ms') return seconds(value);
  return Number.isInteger(value) ? count.format(value) : value.toFixed(1);
}

function mebi(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)} MiB`;
}
