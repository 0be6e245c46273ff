// How news spreads on the engine of production in virtual time: O(log N) from 10 to 10,000 members, what is left of that when part of them is dead, and what it costs.
// Compared with Serf's formula for the share that knows after t rounds, x = 1 / (1 + (n + 1) exp(-fanout / 2 (1 - loss) (1 - failed) t)).
import { Simulation } from '../../dist/sim/index.js';
import { row } from './demers.mjs';

const FANOUT = 3;
const INTERVAL_MS = 200;
const TUNING = { pushPullIntervalMs: 0, deltaSync: false };
/** Enough for any of the runs. */
const LIMIT_MS = 60_000;

export const dissemination = {
  name: 'dissemination',
  title: 'Dissemination, O(log N) and survival (Pittel; Serf; Kermarrec et al. 2003)',
  run({ quick }) {
    const rows = [];
    const convergence = [];
    let curve = [];
    for (const n of quick ? [10, 100] : [10, 32, 100, 316, 1000, 3162, 10_000]) {
      const found = spread({ n, seed: n, runs: quick ? 3 : n > 2000 ? 3 : 8 });
      convergence.push({ n, allMs: found.allMs, mostMs: found.mostMs, theoryMs: serfMs(n, 0, 0.9999), bytesPerSecond: found.bytesPerSecond });
      if (n === 1000) curve = found.curve.map((share, i) => ({ ms: i * 50, share, theory: serfShare(n, 0, (i * 50) / INTERVAL_MS) }));
      if (n >= 100) rows.push(atMost(`time until 99.99 % of ${n.toLocaleString('en-US')} know, s (Serf's formula; not later)`, serfMs(n, 0, 0.9999) / 1000, found.mostMs / 1000));
    }
    if (!quick) {
      // A straight line through (log N, time): O(log N) means that it fits, and that ten times as many take a constant more.
      const { slope, r2 } = line(convergence.map(({ n, allMs }) => [Math.log10(n), allMs / 1000]));
      rows.push(row('time until all know over log N: R^2 of a straight line, 10 to 10,000', 1, r2, 0.1, 'claim'));
      rows.push({ ...row('more time for ten times as many, s', 0.31, slope, 1, 'formula'), ok: slope > 0 && slope < 0.62 });
      const bytes = convergence.map(({ bytesPerSecond }) => bytesPerSecond);
      rows.push(row('bytes per member and second without news, 10,000 over 10 members', 1, bytes.at(-1) / bytes[0], 0.2, 'claim'));
    }
    const survival = [];
    const n = quick ? 100 : 1000;
    for (const percent of quick ? [50] : [10, 20, 30, 40, 50, 60, 70]) {
      const found = spread({ n, seed: percent, runs: quick ? 2 : 4, failed: percent / 100 });
      const dropped = dropping(n, percent / 100, percent);
      survival.push({ percent, reached: found.reached, mostMs: found.mostMs, theoryMs: serfMs(n, percent / 100, 0.9999), ...dropped });
      rows.push({ ...row(`${percent} % of ${n} killed at once: share of the survivors that the next message reaches`, 1, found.reached, quick ? 0.03 : 0.005, 'claim') });
      rows.push({ ...row(`${percent} % killed: survivors that are declared dead at the end`, 0, dropped.falseDeaths, 0, 'claim') });
    }
    const half = survival.find(({ percent }) => percent === 50);
    if (!quick) rows.push(atMost("50 % of 1,000 killed: time until 99.99 % of the survivors know, s (Serf's formula; not later)", serfMs(n, 0.5, 0.9999) / 1000, half.mostMs / 1000));
    const latencies = quick ? [] : detectionLatencies(1000, 10);
    return { rows, data: { convergence, curve, survival, latencies } };
  },
};

/** The formula is Serf's estimate for users: it counts half the fanout per round. Rounds that are not in step, and news on probes and acks, are faster. */
function atMost(what, published, measured) {
  return { ...row(what, published, measured, 0.2, 'bound'), ok: measured <= 1.2 * published };
}

/** How a message from one member spreads: mean times until all, and 99.99 %, of those that are up know it; the share that knows over time. */
function spread({ n, seed, runs, failed = 0 }) {
  const totals = { allMs: 0, mostMs: 0, reached: 0, bytesPerSecond: 0 };
  const curve = new Array(120).fill(0);
  const simulation = new Simulation({ seed, tuning: TUNING, history: 0, rejoinIntervalMs: 0 });
  let reached = [];
  let payload = '';
  let fromMs = 0;
  simulation.check({
    name: 'arrivals',
    event: (_node, event, nowMs) => {
      if (event.type === 'message' && Buffer.from(event.payload).toString() === payload) reached.push(nowMs - fromMs);
    },
  });
  simulation.addNodes(n);
  simulation.acquaint();
  simulation.run(3000);
  const bytesBefore = simulation.bytesSent;
  simulation.run(5000);
  totals.bytesPerSecond = (simulation.bytesSent - bytesBefore) / n / 5;
  for (let run = 0; run < runs; run++) {
    // The dead are those of this run: the others of an earlier one are back, and known again.
    if (failed > 0 && run > 0) break;
    const dead = Math.round(failed * n);
    for (let i = 0; i < dead; i++) simulation.crash(`n${i + 1}`);
    const up = n - dead;
    reached = [0];
    payload = `news ${run}`;
    fromMs = simulation.nowMs;
    simulation.act('n0', (engine, now) => engine.broadcast(now, Buffer.from(payload)));
    while (reached.length < up && simulation.nowMs - fromMs < (failed > 0 ? 15_000 : LIMIT_MS)) simulation.run(100);
    const counted = failed > 0 ? 1 : runs;
    totals.allMs += reached.at(-1) / counted;
    totals.mostMs += reached[Math.min(reached.length, Math.ceil(0.9999 * up)) - 1] / counted;
    totals.reached += reached.length / up / counted;
    for (let i = 0; i < curve.length; i++) curve[i] += reached.filter((ms) => ms <= i * 50).length / up / counted;
    simulation.run(3000);
  }
  return { ...totals, curve };
}

/** After so many were killed at once: until every survivor has dropped them all, s; survivors declared dead on the way and at the end. */
function dropping(n, failed, seed) {
  const simulation = new Simulation({ seed, history: 0, rejoinIntervalMs: 0 });
  const deaths = new Set();
  let dead = 0;
  simulation.check({
    name: 'deaths',
    event: (_node, event) => {
      if (event.type === 'dead' && Number(event.member.name.slice(1)) > dead) deaths.add(event.member.name);
    },
  });
  simulation.addNodes(n);
  simulation.acquaint();
  simulation.run(5000);
  dead = Math.round(failed * n);
  for (let i = 0; i < dead; i++) simulation.crash(`n${i + 1}`);
  const tookMs = simulation.until(() => simulation.isConverged(), 300_000);
  simulation.run(5000);
  const falseDeaths = simulation.up.reduce((sum, { engine }) => sum + engine.members().filter(({ name, status }) => status >= 2 && (name === 'n0' || Number(name.slice(1)) > dead)).length, 0);
  return { droppedMs: tookMs, deathsOnTheWay: deaths.size, falseDeaths };
}

/** From the crash of one per cent to each survivor's verdict on each of them, ms. */
function detectionLatencies(n, crashed) {
  const simulation = new Simulation({ seed: 9, history: 0, rejoinIntervalMs: 0 });
  const latencies = [];
  let crashMs = 0;
  simulation.check({
    name: 'verdicts',
    event: (_node, event, nowMs) => {
      if (event.type === 'dead') latencies.push(nowMs - crashMs);
    },
  });
  simulation.addNodes(n);
  simulation.acquaint();
  simulation.run(5000);
  crashMs = simulation.nowMs;
  for (let i = 1; i <= crashed; i++) simulation.crash(`n${i}`);
  simulation.until(() => simulation.isConverged(), 120_000);
  return latencies.map((ms) => Math.round(ms)).sort((a, b) => a - b).filter((_, i, all) => i % Math.max(1, Math.floor(all.length / 1000)) === 0);
}

export function serfShare(n, failed, rounds) {
  return 1 / (1 + (n + 1) * Math.exp(-0.5 * FANOUT * (1 - failed) * rounds));
}

function serfMs(n, failed, share) {
  const rounds = Math.log(((n + 1) * share) / (1 - share)) / (0.5 * FANOUT * (1 - failed));
  return rounds * INTERVAL_MS;
}

function line(points) {
  const mean = (pick) => points.reduce((sum, point) => sum + pick(point), 0) / points.length;
  const [mx, my] = [mean(([x]) => x), mean(([, y]) => y)];
  const sxy = points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0);
  const sxx = points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
  const syy = points.reduce((sum, [, y]) => sum + (y - my) ** 2, 0);
  return { slope: sxy / sxx, r2: sxy ** 2 / (sxx * syy) };
}
