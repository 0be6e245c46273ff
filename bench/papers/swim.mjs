// SWIM (DSN 2002) on the engine of production in virtual time: first detection, load, completeness, false detection under loss; and the timers of suspicions.
import { remainingSuspicionMs, suspicionTimeoutMs } from '../../dist/protocol/math.js';
import { Simulation } from '../../dist/sim/index.js';
import { Prng } from '../../dist/util/prng.js';
import { row } from './demers.mjs';

const PERIOD_MS = 1000;
/** Nothing but probing: no push/pull in between. */
const TUNING = { pushPullIntervalMs: 0, deltaSync: false };

export const swim = {
  name: 'swim',
  title: 'SWIM, DSN 2002',
  run({ quick }) {
    const rows = [];
    const detections = [];
    for (const n of quick ? [10, 40] : [8, 16, 40, 100, 400]) {
      const crashes = quick ? 60 : n < 100 ? 400 : 200;
      const waits = firstProbes(n, crashes);
      // The paper counts whole periods, up to and including the one in which the member is probed.
      const periods = mean(waits.map((ms) => Math.ceil(ms / PERIOD_MS)));
      detections.push({ n, periods });
      rows.push(row(`first detection of a crash among ${n}, periods`, Math.E / (Math.E - 1), periods, quick ? 0.2 : 0.12, 'formula'));
    }
    const spread = Math.max(...detections.map(({ periods }) => periods)) / Math.min(...detections.map(({ periods }) => periods));
    rows.push(row('the same at every size: largest over smallest', 1, spread, quick ? 0.35 : 0.2, 'claim'));
    for (const n of quick ? [20] : [8, 28, 55, 200]) {
      const { sent, received } = load(n);
      rows.push(row(`messages sent per member and period, ${n} members`, 2, sent, 0.05));
      rows.push(row(`messages received per member and period, ${n} members`, 2, received, 0.05));
    }
    for (const n of quick ? [8] : [8, 20, 40]) {
      const worst = completeness(n, quick ? 3 : 10);
      rows.push({ ...row(`longest wait between two probes of one member by another, ${n} members, periods (at most 2n - 1)`, 2 * n - 1, worst, 0, 'bound'), ok: worst <= 2 * n - 1 });
    }
    for (const [loss, k] of quick ? [[0.1, 1]] : [[0.05, 1], [0.1, 1], [0.1, 3], [0.2, 3]]) {
      const direct = 1 - (1 - loss) ** 2;
      const expected = direct * (1 - (1 - loss) ** 4) ** k;
      const { share, probes } = failedProbes(loss, k, quick ? 60 : 400);
      const noise = 3 / Math.sqrt(expected * probes);
      rows.push(row(`share of probes that fail, ${100 * loss} % loss, k = ${k} (of ${probes.toLocaleString('en-US')})`, expected, share, Math.max(0.1, noise), 'formula'));
    }
    const size = joining(quick);
    rows.push({ ...row('17 members, 10 % loss, with suspicion: members that hold (at least 12)', 12, size, 0, 'bound'), ok: size >= 12 });
    // Lifeguard §3.1 with its own parameters: n = 128, alpha 5, beta 6, K = 3.
    const minMs = suspicionTimeoutMs(5, 128, 1000);
    [63.2, 36.9, 21.5, 10.54].forEach((published, confirmations) => {
      const ms = remainingSuspicionMs(confirmations, 3, 0, minMs, 6 * minMs);
      rows.push(row(`suspicion of one of 128 after ${confirmations} confirmations, s`, published, ms / 1000, 0.05 / published));
    });
    return { rows, data: { detections } };
  },
};

/** From a crash at a random time to the start of the first probe that fails, ms: the first suspicion, less the period that its probe took. */
function firstProbes(n, crashes) {
  const prng = new Prng(n);
  return Array.from({ length: crashes }, (_, seed) => {
    const simulation = new Simulation({ seed: 1000 * n + seed, tuning: TUNING, history: 0, rejoinIntervalMs: 0 });
    let suspectedMs;
    simulation.check({
      name: 'first suspicion',
      event: (_node, event, nowMs) => {
        if (event.type === 'suspect') suspectedMs ??= nowMs;
      },
    });
    simulation.addNodes(n);
    simulation.acquaint();
    simulation.run(3000 + prng.unit() * 3000);
    const crashMs = simulation.nowMs;
    simulation.crash('n1');
    simulation.until(() => suspectedMs !== undefined, 60_000);
    return suspectedMs - PERIOD_MS - crashMs;
  });
}

function load(n) {
  const simulation = new Simulation({ seed: n, tuning: TUNING, history: 0 });
  simulation.addNodes(n);
  simulation.acquaint();
  simulation.run(10_000);
  const count = () => simulation.up.reduce((sum, { engine: { stats } }) => [sum[0] + stats.packetsSent, sum[1] + stats.packetsReceived], [0, 0]);
  const [sent, received] = count();
  const periods = 60;
  simulation.run(periods * PERIOD_MS);
  const [sentAfter, receivedAfter] = count();
  return { sent: (sentAfter - sent) / n / periods, received: (receivedAfter - received) / n / periods };
}

/** The longest time between two probes of one member by the same other, periods. */
function completeness(n, rounds) {
  const simulation = new Simulation({ seed: n, tuning: { ...TUNING, probeEvents: true }, history: 0, network: { latency: { kind: 'fixed', ms: 0.1 } } });
  simulation.addNodes(n);
  simulation.acquaint();
  const last = new Map();
  let worst = 0;
  // Nothing is lost, so every probe is acked, at once.
  simulation.check({
    name: 'probes',
    event: (node, event, nowMs) => {
      if (event.type !== 'probe') return;
      const key = `${node.name} ${event.member.name}`;
      if (last.has(key)) worst = Math.max(worst, (nowMs - last.get(key)) / PERIOD_MS);
      last.set(key, nowMs);
    },
  });
  simulation.run(rounds * 2 * n * PERIOD_MS);
  return Math.round(worst);
}

function failedProbes(loss, k, seconds) {
  const simulation = new Simulation({
    seed: 100 * k + Math.round(100 * loss),
    tuning: { ...TUNING, indirectChecks: k, disableTcpPings: true },
    network: { loss },
    history: 0,
  });
  simulation.addNodes(60);
  simulation.acquaint();
  simulation.run(5000);
  const count = () => simulation.up.reduce((sum, { engine: { stats } }) => [sum[0] + stats.probesSent, sum[1] + stats.probesFailed], [0, 0]);
  const [probes, failed] = count();
  simulation.run(seconds * 1000);
  const [probesAfter, failedAfter] = count();
  return { probes: probesAfter - probes, share: (failedAfter - failed) / (probesAfter - probes) };
}

/** SWIM §5, figure 6: members join one after another while one packet in ten is lost; how many hold, the fewest of the last 95 s. */
function joining(quick) {
  const simulation = new Simulation({ seed: 17, network: { loss: 0.1 }, tuning: { indirectChecks: 1, disableTcpPings: true }, history: 0, rejoinIntervalMs: 0 });
  simulation.addNode('n0');
  for (let i = 1; i < 17; i++) {
    simulation.addNode(`n${i}`);
    simulation.act(`n${i}`, (engine, now) => engine.join(now, [simulation.node('n0').address]));
    simulation.run(5000);
  }
  let fewest = 17;
  for (let s = 0; s < (quick ? 30 : 95); s++) {
    simulation.run(1000);
    fewest = Math.min(fewest, ...simulation.up.map(({ engine }) => engine.members().filter(({ status }) => status <= 1).length));
  }
  return fewest;
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
