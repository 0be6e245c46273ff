// How fast the simulator is: a cluster in which all know all, LAN profile, LAN latencies, nothing failing.
//
//   node bench/sim/speed.mjs [--nodes 10000] [--seconds 60] [--backend native,js] [--write] [--json FILE]     needs dist/ (make build)
//
// Each backend runs in a process of its own, so that its memory is its own. A node-period is one node through one protocol period (1 s). The
// first second is left out of the rate: it compiles. --write puts the table into docs/simulation.md.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Simulation } from '../../dist/sim/index.js';
import { methodLine, writeBetween } from '../../scripts/markers.mjs';

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '60' },
    backend: { type: 'string', default: 'native,js' },
    child: { type: 'string' },
    write: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const nodes = whole('nodes', 1_000_000);
const seconds = whole('seconds', 86_400);

if (values.child) console.log(JSON.stringify(measure(values.child)));
else main();

function measure(backend) {
  const began = performance.now();
  const simulation = new Simulation({ seed: 1, backend, history: 0 });
  simulation.addNodes(nodes);
  simulation.acquaint();
  const madeMs = performance.now() - began;
  simulation.run(1000);
  const steps = simulation.steps;
  const packets = simulation.packetsSent;
  const runBegan = performance.now();
  simulation.run(seconds * 1000);
  const runMs = performance.now() - runBegan;
  return {
    backend,
    nodes,
    seconds,
    madeMs,
    runMs,
    nodePeriodsPerSecond: (nodes * seconds) / (runMs / 1000),
    steps: simulation.steps - steps,
    packets: simulation.packetsSent - packets,
    peakBytes: process.resourceUsage().maxRSS * 1024,
  };
}

function main() {
  const rows = values.backend.split(',').map((backend) => {
    const args = [fileURLToPath(import.meta.url), '--child', backend, '--nodes', String(nodes), '--seconds', String(seconds)];
    const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    if (status !== 0) {
      console.error(`sim-speed: ${backend} failed: ${stderr}`);
      process.exit(1);
    }
    const row = JSON.parse(stdout);
    console.log(`${backend}: ${show(row).join(', ')}`);
    return row;
  });
  if (values.json) writeFileSync(values.json, `${JSON.stringify(rows, undefined, 2)}\n`);
  if (!values.write) return;
  writeBetween('docs/simulation.md', 'sim-speed', [
    '| kernels | nodes | virtual time | took | start | node-periods per second | steps | packets | peak memory |',
    '|---|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...rows.map((row) => `| ${row.backend === 'js' ? 'twins' : row.backend} | ${show(row).map((cell) => cell.replace(/^.*?: /, '')).join(' | ')} |`),
    '',
    `One thread, seed 1. ${methodLine('make sim-speed ARGS=--write')}`,
  ]);
}

function show({ madeMs, runMs, nodePeriodsPerSecond, steps, packets, peakBytes }) {
  const number = (value) => Math.round(value).toLocaleString('en-US');
  return [
    `nodes: ${number(nodes)}`,
    `virtual: ${seconds} s`,
    `took: ${(runMs / 1000).toFixed(1)} s`,
    `start: ${(madeMs / 1000).toFixed(1)} s`,
    `node-periods/s: ${number(nodePeriodsPerSecond)}`,
    `steps: ${number(steps)}`,
    `packets: ${number(packets)}`,
    `peak: ${(peakBytes / 2 ** 30).toFixed(2)} GiB`,
  ];
}

function whole(name, max) {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  console.error(`sim-speed: --${name}: expected a whole number from 1 to ${max}, got ${values[name]}`);
  process.exit(2);
}
