// The fast profile in simulation: what it reaches, what each of its parts is worth, and what it costs. LAN latencies (0.2 ms and a tail of 0.3 ms one way), virtual time.
//
//   node bench/fast/experiments.mjs [--part targets,ablation,faults] [--nodes 1000,5000,10000] [--write] [--json FILE]     needs dist/ (make build)
//
// 10,000 nodes take about 6 GB and some minutes. --write puts the tables of the parts that ran into docs/fast-detection.md.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { flipFlop, lossAt, Simulation } from '../../dist/sim/index.js';
import { methodLine, writeBetween } from '../../scripts/markers.mjs';

const { values } = parseArgs({
  options: {
    part: { type: 'string', default: 'targets,ablation,faults' },
    nodes: { type: 'string', default: '1000,5000,10000' },
    child: { type: 'string' },
    write: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});

/** `minutes` of rest after the kill count false positives too. */
const ABLATIONS = {
  'lan (SWIM with Lifeguard)': { profile: 'lan' },
  fast: {},
  'fast without ring probing (one random probe per second)': { tuning: { ringIntervalMs: 3_600_000 } },
  'fast without ring probing, four random probes per second': { tuning: { ringIntervalMs: 3_600_000, probeIntervalMs: 250, probeTimeoutMs: 60 } },
  'fast, news by gossip alone': { tuning: { urgentNews: false } },
  'fast, ring interval 500 ms': { tuning: { ringIntervalMs: 500 } },
  'fast, suspicion 150 ms': { tuning: { fastSuspicionMs: 150 } },
  'fast, suspicion 1000 ms': { tuning: { fastSuspicionMs: 1000 } },
};

function cluster({ nodes, profile = 'fast', tuning = {}, loss = 0, seed = 1 }) {
  const simulation = new Simulation({ seed, profile, tuning, history: 0, rejoinIntervalMs: 0, network: { loss } });
  simulation.addNodes(nodes);
  simulation.acquaint();
  simulation.run(3000);
  return simulation;
}

/** One experiment: rest, then faults or a kill, then what came of it. */
function experiment(options) {
  const { nodes, kill = 0, fault, restSeconds = 5, afterSeconds } = options;
  const simulation = cluster(options);
  const verdicts = [];
  const first = new Map();
  const wrong = new Set();
  const faulty = new Set();
  let fromMs = 0;
  let suspicions = 0;
  simulation.check({
    name: 'verdicts',
    event: (node, event, nowMs) => {
      if (event.type === 'suspect' && simulation.nodes.get(event.member.name).isUp) suspicions++;
      if (event.type !== 'dead' || faulty.has(node.name)) return;
      const { name } = event.member;
      if (simulation.nodes.get(name).isUp) {
        if (!faulty.has(name)) wrong.add(name);
        return;
      }
      verdicts.push(nowMs - fromMs);
      if (!first.has(name)) first.set(name, nowMs - fromMs);
    },
  });
  const packets = simulation.packetsSent;
  const bytes = simulation.bytesSent;
  simulation.run(restSeconds * 1000);
  const rate = { packets: (simulation.packetsSent - packets) / nodes / restSeconds, bytes: (simulation.bytesSent - bytes) / nodes / restSeconds };
  fromMs = simulation.nowMs;
  const before = simulation.packetsSent;
  if (fault) {
    for (let i = 0; i < Math.max(1, nodes / 100); i++) faulty.add(`n${i * 7}`);
    if (fault === 'flip-flop') simulation.rule(flipFlop(faulty, 20_000, 20_000));
    if (fault === 'loss 80 %') simulation.rule(lossAt(faulty, 0.8));
    for (let s = 0; s < afterSeconds; s++) {
      if (fault === 'stop for 200 ms every second') for (const name of faulty) simulation.pause(name, 200);
      simulation.run(1000);
    }
    simulation.network.clear();
    for (const name of faulty) simulation.crash(name);
    simulation.run(20_000);
  } else {
    const killed = Math.round(kill * nodes) || (kill > 0 ? 1 : 0);
    for (let i = 1; i <= killed; i++) simulation.crash(`n${i}`);
    const all = killed * (nodes - killed);
    for (let ms = 0; verdicts.length < all && ms < 120_000; ms += 100) simulation.run(100);
    simulation.run((afterSeconds ?? 5) * 1000);
  }
  verdicts.sort((a, b) => a - b);
  const firsts = [...first.values()].sort((a, b) => a - b);
  const at = (list, share) => list[Math.min(list.length - 1, Math.floor(share * list.length))];
  const agreed = simulation.isConverged();
  return {
    rate,
    first: { p50: at(firsts, 0.5), max: firsts.at(-1) },
    all: { p50: at(verdicts, 0.5), p99: at(verdicts, 0.99), p999: at(verdicts, 0.999), max: verdicts.at(-1) },
    falsePositives: wrong.size,
    suspicions,
    agreed,
    packetsPerNode: (simulation.packetsSent - before) / nodes,
  };
}

function run(options) {
  const began = performance.now();
  const { stdout, stderr, status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), '--child', JSON.stringify(options)], { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (status !== 0) {
    console.error(`fast: ${JSON.stringify(options)} failed: ${stderr}`);
    process.exit(1);
  }
  const result = JSON.parse(stdout);
  console.log(`${JSON.stringify(options)} (${((performance.now() - began) / 1000).toFixed(0)} s): ${JSON.stringify(result)}`);
  return result;
}

function main() {
  const sizes = values.nodes.split(',').map(Number);
  const results = {};
  for (const part of values.part.split(',')) {
    if (!(part in PARTS)) {
      console.error(`fast: --part: expected some of ${Object.keys(PARTS).join(', ')}, got ${part}`);
      process.exit(2);
    }
    const { lines, rows } = PARTS[part](sizes);
    results[part] = rows;
    if (values.write) writeBetween('docs/fast-detection.md', `fast-${part}`, [...lines, '', `Simulation, seed 1. ${methodLine(`node bench/fast/experiments.mjs --part ${part} --nodes ${values.nodes} --write`)}`]);
  }
  if (values.json) writeFileSync(values.json, `${JSON.stringify(results, undefined, 1)}\n`);
}

const ms = (value) => (value === undefined ? '' : Math.round(value).toLocaleString('en-US'));

const PARTS = {
  targets: (sizes) => {
    const rows = sizes.flatMap((nodes) =>
      [
        { label: '1 killed', kill: 1e-9 },
        { label: '1 % killed', kill: 0.01 },
        { label: '1 % killed, 1 % loss', kill: 0.01, loss: 0.01 },
        { label: '10 % killed', kill: 0.1 },
        { label: '50 % killed', kill: 0.5 },
      ]
        // Half of ten thousand is 25 million verdicts of suspicion and as many of death: left to 5,000 and below.
        .filter(({ kill }) => nodes * nodes * kill * (1 - kill) <= 10_000_000)
        .map(({ label, ...options }) => ({ nodes, label, ...run({ nodes, ...options }) })),
    );
    return {
      rows,
      lines: [
        '| members | killed at once | first verdict p50 / max, ms | every survivor: p50 | p99 | p99.9 | max, ms | live members declared dead | agree at the end |',
        '|---:|---|---:|---:|---:|---:|---:|---:|---|',
        ...rows.map(({ nodes, label, first, all, falsePositives, agreed }) => `| ${ms(nodes)} | ${label} | ${ms(first.p50)} / ${ms(first.max)} | ${ms(all.p50)} | ${ms(all.p99)} | ${ms(all.p999)} | ${ms(all.max)} | ${falsePositives} | ${agreed ? 'yes' : 'no'} |`),
      ],
    };
  },
  ablation: () => {
    const rows = Object.entries(ABLATIONS).map(([label, options]) => ({
      label,
      ...run({ nodes: 1000, kill: 0.01, ...options }),
      loss: run({ nodes: 200, kill: 1e-9, loss: 0.05, restSeconds: 300, ...options }),
    }));
    return {
      rows,
      lines: [
        '| variant | first verdict p50, ms | every survivor: p50 | p99, ms | packets per member for it | at rest, packets / bytes per member and second | 200 members, 5 % loss, 5 minutes: false suspicions / deaths |',
        '|---|---:|---:|---:|---:|---:|---:|',
        ...rows.map(({ label, first, all, packetsPerNode, rate, loss }) => `| ${label} | ${ms(first.p50)} | ${ms(all.p50)} | ${ms(all.p99)} | ${ms(packetsPerNode)} | ${rate.packets.toFixed(1)} / ${ms(rate.bytes)} | ${ms(loss.suspicions / 200)} / ${loss.falsePositives} |`),
      ],
    };
  },
  faults: () => {
    const rows = [
      ['nothing, ten minutes', { restSeconds: 600, kill: 1e-9 }],
      ['1 % of packets lost, ten minutes', { loss: 0.01, restSeconds: 600, kill: 1e-9 }],
      ['1 % of the members hear nothing, 20 s of 40, two minutes', { fault: 'flip-flop', afterSeconds: 120 }],
      ['1 % of the members lose 80 % of their packets, two minutes', { fault: 'loss 80 %', afterSeconds: 120 }],
      ['1 % of the processes stop for 200 ms every second, two minutes', { fault: 'stop for 200 ms every second', afterSeconds: 120 }],
    ].map(([label, options]) => ({ label, ...run({ nodes: 500, ...options }) }));
    return {
      rows,
      lines: [
        '| 500 members | healthy members declared dead by healthy ones | all agree after the faulty are gone |',
        '|---|---:|---|',
        ...rows.map(({ label, falsePositives, agreed }) => `| ${label} | ${falsePositives} | ${agreed ? 'yes' : 'no'} |`),
      ],
    };
  },
};

if (values.child) console.log(JSON.stringify(experiment(JSON.parse(values.child))));
else main();
