// Lifeguard (arXiv 1707.00788v2): 128 members of which some stop now and then, on the engine of production in virtual time. Its grid is 4,320 runs of two minutes per
// configuration; here a part of it, drawn once (RUNS), the same for all configurations.
import { Simulation } from '../../dist/sim/index.js';
import { Prng } from '../../dist/util/prng.js';
import { row } from './demers.mjs';

const MEMBERS = 128;
const RUN_MS = 120_000;
const QUIESCE_MS = 15_000;
const ALPHA = 5;
const BETA = 6;
const COUNTS = [4, 8, 16, 24, 32];
const DURATIONS_MS = [2048, 8192, 16_384, 32_768];
const INTERVALS_MS = [4, 64, 1024, 4096];

/** awarenessMaxMultiplier 1 takes LHA-Probe away, suspicionMaxTimeoutMult 1 LHA-Suspicion. The buddy system has no switch here: all configurations have it. */
const CONFIGURATIONS = {
  SWIM: { awarenessMaxMultiplier: 1, suspicionMaxTimeoutMult: 1 },
  'LHA-Probe': { awarenessMaxMultiplier: 9, suspicionMaxTimeoutMult: 1 },
  'LHA-Suspicion': { awarenessMaxMultiplier: 1, suspicionMaxTimeoutMult: BETA },
  Lifeguard: { awarenessMaxMultiplier: 9, suspicionMaxTimeoutMult: BETA },
};
const PUBLISHED = { 'LHA-Probe': [0.6772, 0.3288], 'LHA-Suspicion': [0.03, 0.0671], Lifeguard: [0.0153, 0.0189] };
const WHY = 'our plain SWIM has the buddy system and probes that do not wait for each other; and the runs are a part of the grid';

export const lifeguard = {
  name: 'lifeguard',
  title: 'Lifeguard, 2018',
  run({ quick }) {
    const rows = [];
    const counts = {};
    const names = quick ? ['SWIM', 'Lifeguard'] : Object.keys(CONFIGURATIONS);
    for (const name of names) {
      const total = { fp: 0, fpHealthy: 0, packets: 0, bytes: 0 };
      for (const run of drawn(quick ? 2 : 20)) {
        const found = intervals(CONFIGURATIONS[name], run);
        for (const key of Object.keys(total)) total[key] += found[key];
      }
      counts[name] = total;
    }
    for (const [name, [fp, fpHealthy]] of Object.entries(PUBLISHED)) {
      if (!counts[name]) continue;
      rows.push(notMore(`${name}: false positives, of those of SWIM (${counts[name].fp} of ${counts.SWIM.fp})`, fp, counts[name].fp / counts.SWIM.fp));
      rows.push(notMore(`${name}: false positives at healthy members, of those of SWIM (${counts[name].fpHealthy} of ${counts.SWIM.fpHealthy})`, fpHealthy, counts[name].fpHealthy / Math.max(1, counts.SWIM.fpHealthy)));
    }
    rows.push(notMore('Lifeguard: messages, of those of SWIM', 1.1059, counts.Lifeguard.packets / counts.SWIM.packets));
    rows.push(notMore('Lifeguard: bytes, of those of SWIM', 0.9797, counts.Lifeguard.bytes / counts.SWIM.bytes));
    for (const name of quick ? ['Lifeguard'] : ['SWIM', 'Lifeguard']) {
      const found = Array.from({ length: quick ? 2 : 16 }, (_, i) => threshold(CONFIGURATIONS[name], i + 1));
      rows.push(row(`${name}: median time to the first detection, s`, 12.44, median(found.map(({ firstMs }) => firstMs)) / 1000, quick ? 0.15 : 0.1));
      rows.push(row(`${name}: median time until all healthy members know, s`, 12.9, median(found.map(({ allMs }) => allMs)) / 1000, quick ? 0.15 : 0.1));
    }
    return { rows, data: { counts } };
  },
};

/** As many or fewer than the paper: then passed. */
function notMore(what, published, measured) {
  return { ...row(what, published, measured, 0.1, 'bound', WHY), ok: measured <= 1.1 * published };
}

function drawn(runs) {
  const prng = new Prng(128);
  const pick = (list) => list[prng.below(list.length)];
  return Array.from({ length: runs }, (_, i) => ({ seed: i + 1, count: pick(COUNTS), durationMs: pick(DURATIONS_MS), intervalMs: pick(INTERVALS_MS) }));
}

function cluster(configuration, seed) {
  const simulation = new Simulation({
    seed,
    history: 0,
    rejoinIntervalMs: 0,
    tuning: { suspicionMult: ALPHA, deltaSync: false, ...configuration },
  });
  simulation.addNodes(MEMBERS);
  simulation.acquaint();
  return simulation;
}

/** The Interval experiment: the same members stop for a while and run for a while, all in step, until two minutes are over. */
function intervals(configuration, { seed, count, durationMs, intervalMs }) {
  const simulation = cluster(configuration, seed);
  const anomalous = new Set(Array.from({ length: count }, (_, i) => `n${i * 4}`));
  let fp = 0;
  let fpHealthy = 0;
  simulation.check({
    name: 'false positives',
    event: (node, event) => {
      if (event.type !== 'dead' || anomalous.has(event.member.name)) return;
      fp++;
      if (!anomalous.has(node.name)) fpHealthy++;
    },
  });
  simulation.run(QUIESCE_MS);
  const packets = simulation.packetsSent;
  const bytes = simulation.bytesSent;
  const endMs = simulation.nowMs + RUN_MS;
  // As in the paper, the members block when they send and when they receive, and their timers go on: nothing leaves or reaches them before the anomaly is over.
  let blockedUntilMs = 0;
  simulation.rule(({ from, to, nowMs }) =>
    nowMs < blockedUntilMs && (anomalous.has(from) || anomalous.has(to)) ? { delayMs: blockedUntilMs - nowMs + 0.5 } : undefined,
  );
  while (simulation.nowMs < endMs) {
    blockedUntilMs = simulation.nowMs + durationMs;
    simulation.run(durationMs + intervalMs);
  }
  return { fp, fpHealthy, packets: simulation.packetsSent - packets, bytes: simulation.bytesSent - bytes };
}

/** The Threshold experiment with one member that stops for 32 s: when the first healthy member, and when the last, declares it dead, ms. */
function threshold(configuration, seed) {
  const simulation = cluster(configuration, 1000 + seed);
  const verdicts = [];
  simulation.check({
    name: 'verdicts',
    event: (node, event, nowMs) => {
      if (event.type === 'dead' && event.member.name === 'n0' && node.name !== 'n0') verdicts.push(nowMs);
    },
  });
  simulation.run(QUIESCE_MS + 37 * seed);
  const fromMs = simulation.nowMs;
  simulation.pause('n0', 60_000);
  simulation.until(() => verdicts.length === MEMBERS - 1, 120_000);
  return { firstMs: verdicts[0] - fromMs, allMs: verdicts.at(-1) - fromMs };
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}
