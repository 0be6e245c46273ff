// Where the time goes while a failure spreads: V8's sampling profiler in the threads of a load test, from the kill until all know.
//
//   node bench/fast/where.mjs [--nodes 5000] [--write]     needs dist/ (make build)
//
// --write puts the table into docs/loadtest.md.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { methodLine, writeBetween } from '../../scripts/markers.mjs';
import { TARGET } from './target.mjs';

const { values } = parseArgs({ options: { nodes: { type: 'string', default: '5000' }, write: { type: 'boolean', default: false } } });
const root = fileURLToPath(new URL('../..', import.meta.url));

/** What a frame is counted as: the first that fits. */
const PARTS = [
  ['V8: collecting garbage', ({ functionName }) => functionName === '(garbage collector)'],
  ['outside JavaScript', ({ functionName }) => functionName === '(program)'],
  ['load test: who is meant, timers of all nodes, counting', ({ url }) => url.includes('/loadtest/') || url.includes('/sim/event-heap')],
  ['protocol: what a change of a member leads to', ({ url }) => /protocol\/(membership|failed-members|roster|suspicion)/.test(url)],
  ['protocol: telling the news', ({ url }) => /protocol\/(dissemination|slices|outbox)/.test(url) || url.includes('/wire/')],
  ['protocol: beats, probes and their timers', ({ url }) => /protocol\/(ring|prober|timers|responder|sequences|round)/.test(url)],
  ['protocol: the rest', ({ url }) => url.includes('/protocol/')],
  ['transport', ({ url }) => url.includes('/transport/')],
  ['C++: kernels, system calls of the sockets, crossings into them', ({ url }) => url === '' || url.includes('/kernels/')],
  ['Node and everything else', () => true],
];

const directory = mkdtempSync(join(tmpdir(), 'hearsay-where-'));
const { status, stdout } = spawnSync(
  process.execPath,
  ['--cpu-prof', '--cpu-prof-interval', '1000', '--cpu-prof-dir', directory, 'dist/cli/main.js', 'loadtest', '--nodes', values.nodes, '--scenario', 'kill-1%', '--json', '-'],
  { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] },
);
const report = status === null ? undefined : JSON.parse(stdout);
if (!report?.every) throw new Error('the load test gave no report');
const sums = new Map(PARTS.map(([name]) => [name, 0]));
let total = 0;
for (const file of readdirSync(directory)) {
  const { nodes, samples, timeDeltas, endTime, startTime } = JSON.parse(readFileSync(join(directory, file), 'utf8'));
  if (!nodes.some(({ callFrame }) => callFrame.url.includes('/loadtest/shard'))) continue;
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  // A shard ends some five seconds after the last verdict (src/loadtest/scenarios.ts).
  const toUs = endTime - 5_000_000;
  const fromUs = toUs - 1000 * report.every.max;
  let atUs = startTime;
  for (const [i, id] of samples.entries()) {
    atUs += timeDeltas[i];
    const frame = frames.get(id);
    if (atUs < fromUs || atUs > toUs || frame.functionName === '(idle)' || frame.functionName === '(root)') continue;
    const [name] = PARTS.find(([, fits]) => fits(frame));
    sums.set(name, sums.get(name) + timeDeltas[i]);
    total += timeDeltas[i];
  }
}
rmSync(directory, { recursive: true });
if (total === 0) throw new Error('the profiler wrote nothing about the shards');
const [native] = PARTS.find(([name]) => name.startsWith('C++'));
/** Seconds of all processors that the verdicts of one in a hundred of so many members take in C++ alone. */
const leastSeconds = (nodes) => (((sums.get(native) / report.verdicts) * (nodes - nodes / 100) * (nodes / 100)) / 1e6 / TARGET.processors).toFixed(1);
const lines = [
  `${Number(values.nodes).toLocaleString('en-US')} nodes, ${report.killed} killed, ${(report.every.max / 1000).toFixed(1)} s until the last verdict (with the profiler on), ${(total / 1e6).toFixed(1)} s of two threads at work:`,
  '',
  '| where | share | us per verdict |',
  '| --- | ---: | ---: |',
  ...[...sums].sort(([, a], [, b]) => b - a).map(([name, us]) => `| ${name} | ${((100 * us) / total).toFixed(0)} % | ${(us / report.verdicts).toFixed(1)} |`),
  '',
  `Had TypeScript cost nothing: C++ and system calls alone, at this price, keep ${TARGET.processors} processors busy for ${leastSeconds(5000)} s at 5,000 members and ${leastSeconds(10_000)} s at 10,000, after the first verdict (here ${(report.first.p50 / 1000).toFixed(1)} s in the median), and besides what all members do at rest.`,
  '',
  methodLine(`node bench/fast/where.mjs --nodes ${values.nodes} --write`),
];
console.log(lines.join('\n'));
if (values.write) writeBetween('docs/loadtest.md', 'loadtest-where', lines);
