// What one idle node costs in a cluster of N: CPU time, memory and traffic of a process that does nothing but be a member.
//
//   node bench/cluster/idle-node.mjs [--nodes 1000] [--seconds 60] [--profile lan] [--backend auto] [--json FILE]
//
// The other N - 1 members run inline in one process of their own ("crowd"), each with its own sockets; the subject is a
// separate process with one cluster, as a user would have it. Non-goal: the cost of the crowd.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { Cluster } from 'hearsay';

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '60' },
    profile: { type: 'string', default: 'lan' },
    backend: { type: 'string', default: 'auto' },
    json: { type: 'string' },
    role: { type: 'string' },
    seed: { type: 'string' },
    prefix: { type: 'string' },
    count: { type: 'string' },
  },
});
const nodes = Number(values.nodes);
const { profile, backend } = values;
/** Joins under way at a time: a join is a full state exchange on both sides. */
const JOINS_AT_ONCE = 4;
/** Processes that the crowd is spread over. */
const CROWDS = 2;

if (values.role === 'crowd') await crowd();
else if (values.role === 'subject') await subject();
else await main();

async function crowd() {
  const base = { thread: 'inline', profile, backend, bind: '127.0.0.1:0', rejoinIntervalMs: 0 };
  const names = Array.from({ length: Number(values.count) }, (_, i) => `${values.prefix}${i}`);
  const first = await Cluster.start({ ...base, name: names.pop(), seeds: values.seed ? [values.seed] : [] });
  process.send({ address: first.self.address });
  await Promise.all(
    Array.from({ length: JOINS_AT_ONCE }, async () => {
      for (let name = names.pop(); name; name = names.pop()) {
        await Cluster.start({ ...base, name, seeds: [first.self.address], requireJoin: true });
      }
    }),
  );
  await untilAll(first, nodes - 1);
  process.send({ isUp: true });
}

async function subject() {
  const bareBytes = process.memoryUsage().rss;
  const cluster = await Cluster.start({ name: 'subject', profile, backend, bind: '127.0.0.1:0', seeds: [values.seed], requireJoin: true });
  await untilAll(cluster, nodes);
  process.send({ joined: cluster.members().length });
  // The news of the join has to die down before a minute is an idle minute; the parent says when.
  await once(process, 'message');
  const before = { cpu: process.cpuUsage(), atMs: performance.now(), stats: (await cluster.stats()).transport };
  await once(process, 'message');
  const cpu = process.cpuUsage(before.cpu);
  const seconds = (performance.now() - before.atMs) / 1000;
  const { transport, engine } = await cluster.stats();
  process.send({
    backend: cluster.backend.name,
    members: cluster.members().length,
    seconds,
    cpuPercent: (cpu.user + cpu.system) / 1e4 / seconds,
    rssBytes: process.memoryUsage().rss,
    bareRssBytes: bareBytes,
    packetsPerSecond: (transport.packetsSent + transport.packetsReceived - before.stats.packetsSent - before.stats.packetsReceived) / seconds,
    bytesOutPerSecond: (transport.bytesSent - before.stats.bytesSent) / seconds,
    bytesInPerSecond: (transport.bytesReceived - before.stats.bytesReceived) / seconds,
    suspicions: engine.suspicionsStarted,
  });
  await cluster.stop();
  process.disconnect();
}

async function untilAll(cluster, count) {
  const events = cluster.events();
  if (cluster.members().length >= count) return;
  for await (const _ of events) if (cluster.members().length >= count) return;
}

async function main() {
  const seconds = Number(values.seconds);
  const common = ['--nodes', String(nodes), '--profile', profile, '--backend', backend];
  const script = new URL(import.meta.url).pathname;
  const children = [];
  const start = (role, extra = []) => {
    const child = fork(script, ['--role', role, ...common, ...extra]);
    children.push(child);
    child.on('exit', (code) => {
      if (code === 0 || isOver) return;
      console.error(`the ${role} process ended with code ${code}`);
      process.exitCode = 1;
      stop();
    });
    return child;
  };
  let isOver = false;
  const stop = () => {
    isOver = true;
    for (const child of children) child.kill();
  };
  try {
    const began = performance.now();
    let address = '';
    const crowds = [];
    for (let i = 0, left = nodes - 1; i < CROWDS; i++) {
      const count = i === CROWDS - 1 ? left : Math.floor((nodes - 1) / CROWDS);
      left -= count;
      const child = start('crowd', ['--prefix', `c${i}-`, '--count', String(count), ...(address ? ['--seed', address] : [])]);
      [{ address }] = await once(child, 'message');
      crowds.push(child);
    }
    await Promise.all(crowds.map((child) => once(child, 'message')));
    const subjectProcess = start('subject', ['--seed', address]);
    await once(subjectProcess, 'message');
    console.log(`${nodes} members up after ${((performance.now() - began) / 1000).toFixed(1)} s; measuring ${seconds} s`);
    await pause(20_000);
    subjectProcess.send('begin');
    await pause(seconds * 1000);
    const result = once(subjectProcess, 'message');
    subjectProcess.send('end');
    const [figures] = await result;
    const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    console.log(`one idle node of ${figures.members}, profile ${profile}, backend ${figures.backend}, Node ${process.version}, ${cpus()[0].model} x ${cpus().length}`);
    console.log(`  CPU        ${figures.cpuPercent.toFixed(2)} % of one core over ${figures.seconds.toFixed(0)} s`);
    console.log(`  memory     ${mib(figures.rssBytes)} RSS, of which ${mib(figures.bareRssBytes)} before the cluster was started`);
    console.log(`  traffic    ${figures.packetsPerSecond.toFixed(1)} packets/s, ${figures.bytesOutPerSecond.toFixed(0)} B/s out, ${figures.bytesInPerSecond.toFixed(0)} B/s in`);
    console.log(`  suspicions ${figures.suspicions}`);
    if (values.json) writeFileSync(values.json, `${JSON.stringify({ nodes, profile, node: process.version, cpu: cpus()[0].model, ...figures }, null, 2)}\n`);
  } finally {
    stop();
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
