// The replicated map with a million keys, between two processes on loopback: writing, comparing, the first sync of an empty node, and what it costs at rest.
//
//   node bench/state/map.mjs [--keys 1000000] [--rest 120] [--write] [--json FILE]     needs dist/ (make build)
//
// The event loop that is watched is the application's of the empty node, which takes records in as they come: CPU time of single turns, and the delay
// (monitorEventLoopDelay at 1 ms, where an idle loop shows about 1.1), in which the other threads' use of the processors shows too. --write puts the table into docs/anti-entropy.md.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Cluster } from '../../dist/index.js';
import { methodLine, writeBetween } from '../../scripts/markers.mjs';
import { LoopMonitor } from '../cluster/loop-delay.mjs';

const { values } = parseArgs({
  options: {
    keys: { type: 'string', default: '1000000' },
    rest: { type: 'string', default: '120' },
    write: { type: 'boolean', default: false },
    json: { type: 'string' },
    role: { type: 'string' },
    seed: { type: 'string' },
  },
});
const keys = Number(values.keys);
const OPTIONS = { antiEntropyIntervalMs: 0, gossipFanout: 0, limits: { records: 4_000_000, totalBytes: 2 ** 32 } };
const REST_OPTIONS = { limits: OPTIONS.limits };
const DIFFERENCES = 10;

if (values.role === 'full') await full();
else if (values.role === 'empty') await empty();
else await main();

/** Holds all keys, and does what it is told. */
async function full() {
  const cluster = await Cluster.start({ name: 'full', bind: '127.0.0.1:0', profile: 'local' });
  const map = cluster.map('m', OPTIONS);
  const before = process.memoryUsage();
  const fromMs = performance.now();
  for (let i = 0; i < keys; i++) map.set(`key-${i}`, `value of ${i}`);
  const writeUs = ((performance.now() - fromMs) * 1000) / keys;
  const again = performance.now();
  for (let i = 0; i < 100_000; i++) map.set(`key-${(i * 7919) % keys}`, `newer value of ${i}`);
  const rewriteUs = ((performance.now() - again) * 1000) / 100_000;
  const after = process.memoryUsage();
  // Array buffers that garbage collection has not got to yet count as well, so this is an upper bound.
  const bytesPerKey = (after.rss - before.rss) / keys;
  process.send({ address: cluster.self.address, writeUs, rewriteUs, bytesPerKey });
  process.on('message', async (message) => {
    if (message === 'differ') {
      for (let i = 0; i < DIFFERENCES; i++) map.set(`key-${(i * 99_991) % keys}`, `differs ${i} ${performance.now()}`);
      process.send('differs');
    } else if (message === 'digest') process.send(map.digest);
    else {
      await cluster.stop();
      process.exit(0);
    }
  });
}

/** Joins with an empty map, and measures. */
async function empty() {
  const cluster = await Cluster.start({ name: 'empty', bind: '127.0.0.1:0', profile: 'local', seeds: [values.seed] });
  const map = cluster.map('m', OPTIONS);
  while (!map.peers.includes('full')) await pause(20);
  const monitor = new LoopMonitor();
  monitor.start();
  monitor.reset();
  const first = await map.exchange('full');
  const sync = { ...first, loop: monitor.read() };
  const ask = async (what) => {
    process.send(what);
    return (await once(process, 'message'))[0];
  };
  const repairs = [];
  for (let i = 0; i < 5; i++) {
    await ask('differ');
    repairs.push(await map.exchange('full'));
  }
  const isSame = (await ask('digest')) === map.digest;
  process.send({ sync, repairs, isSame });
  await cluster.stop();
  process.exit(0);
}

/** Bytes per node and second of a cluster in which nothing happens. */
async function rest(nodes, seconds) {
  const clusters = [];
  for (let i = 0; i < nodes; i++) {
    clusters.push(await Cluster.start({ name: `n${i}`, bind: '127.0.0.1:0', profile: 'lan', thread: 'inline', ...(i > 0 ? { seeds: [clusters[0].self.address] } : {}) }));
  }
  const maps = clusters.map((cluster) => cluster.map('m', REST_OPTIONS));
  for (let i = 0; i < 10_000; i++) maps[i % nodes].set(`key-${i}`, `value of ${i}`);
  while (!maps.every(({ digest }) => digest === maps[0].digest)) await pause(100);
  await pause(15_000);
  const bytes = () => maps.reduce((sum, { stats }) => sum + stats.packetBytes + stats.streamBytes, 0);
  const before = bytes();
  await pause(seconds * 1000);
  const perNode = (bytes() - before) / nodes / seconds;
  await Promise.all(clusters.map((cluster) => cluster.stop()));
  return perNode;
}

async function main() {
  const self = fileURLToPath(import.meta.url);
  const args = (role, ...more) => ['--role', role, '--keys', String(keys), ...more];
  const holder = fork(self, args('full'));
  const [told] = await once(holder, 'message');
  const subject = fork(self, args('empty', '--seed', told.address));
  subject.on('message', (message) => typeof message === 'string' && holder.send(message));
  holder.on('message', (message) => typeof message === 'string' && subject.send(message));
  const [result] = await new Promise((resolve) => {
    subject.on('message', (message) => typeof message === 'object' && resolve([message]));
  });
  holder.send('stop');
  const restSeconds = Number(values.rest);
  const restBytes = await rest(8, restSeconds);
  const { sync, repairs, isSame } = result;
  const traffic = ({ stats }) => stats.bytesSent + stats.bytesReceived;
  const worst = (pick) => Math.max(...repairs.map(pick));
  const round = (value, digits = 1) => value.toLocaleString('en-US', { maximumFractionDigits: digits });
  const rows = [
    ['one write into an empty map up to all keys, mean', `${round(told.writeUs)} us`],
    ['one write over an older value, all keys there, mean', `${round(told.rewriteUs)} us`],
    ['memory per key, all indexes, 11 + 16 bytes of which are key and value', `at most ${round(told.bytesPerKey, 0)} bytes`],
    ['first sync of an empty node', `${round(sync.durationMs / 1000)} s, ${round(traffic(sync) / 2 ** 20)} MiB, ${sync.stats.entriesApplied.toLocaleString('en-US')} records`],
    ['CPU time of single turns of its event loop meanwhile', sync.loop.work ? `${round(sync.loop.work.p99)} ms (p99), ${round(sync.loop.work.max)} ms (longest)` : 'not told here'],
    ['delay of that loop, waiting for one of two processors that four busy threads share included', `${round(sync.loop.delay.p99)} ms (p99), ${round(sync.loop.delay.max)} ms (longest)`],
    [`${DIFFERENCES} differences, five times`, `at most ${round(worst(traffic), 0)} bytes, ${worst(({ roundTrips }) => roundTrips)} round trips, ${round(worst(({ durationMs }) => durationMs), 0)} ms`],
    [`at rest, 8 nodes with 10,000 keys, ${restSeconds} s`, `${round(restBytes)} bytes per node and second`],
  ];
  if (!isSame) throw new Error('the two maps are not the same in the end');
  const lines = [`| ${keys.toLocaleString('en-US')} keys, two processes on loopback | measured |`, '|---|---|', ...rows.map(([what, value]) => `| ${what} | ${value} |`)];
  console.log(lines.join('\n'));
  const command = `node bench/state/map.mjs${keys === 1_000_000 ? '' : ` --keys ${keys}`} --write`;
  if (values.json) writeFileSync(values.json, `${JSON.stringify({ told, sync, repairs, restBytes, where: methodLine(command) }, undefined, 1)}\n`);
  if (values.write) writeBetween('docs/anti-entropy.md', 'map-million', [...lines, '', methodLine(command)]);
}
