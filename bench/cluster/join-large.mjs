// How long the event loops of a node stand still while it joins a large cluster, and in the ten seconds after that.
//
//   node bench/cluster/join-large.mjs [--nodes 10000] [--backend native,js] [--thread worker,inline] [--rounds 3]
//                                     [--seconds 10] [--json FILE] [--write]
//
// The cluster is one process that holds N node states: it answers a state exchange with all of them over TCP, as memberlist does, and
// every ping under their addresses (all of 127.0.0.0/8 is this machine). The subject is a process with one cluster, as a user would have
// it, with a listener for 'join'. While it is watched after the join the crowd exchanges its state with it once more, from outside.
//
// Shown per phase and thread, median of the rounds: the delay of the event loop (monitorEventLoopDelay, resolution 1 ms, so an idle loop shows
// 1.1), and the CPU time of single turns, which is the same without the time that the thread waited for a processor. p99 says how often, max is
// the longest block. Non-goal: the time of the crowd.
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { createSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { cpus, loadavg } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BroadcastChannel } from 'node:worker_threads';
import { methodLine, writeBetween } from '../../scripts/markers.mjs';
import { CHANNEL, LoopMonitor } from './loop-delay.mjs';

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '10000' },
    backend: { type: 'string', default: 'native,js' },
    thread: { type: 'string', default: 'worker,inline' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '10' },
    json: { type: 'string' },
    write: { type: 'boolean', default: false },
    role: { type: 'string' },
    seed: { type: 'string' },
  },
});
const nodes = Number(values.nodes);
/** How long after the last 'join' the phase of the join ends, ms. */
const SETTLE_MS = 500;

if (values.role === 'crowd') await crowd();
else if (values.role === 'subject') await subject();
else await main();

async function crowd() {
  const [{ chooseBackend, TURN_CODEC_SIZES }, { CODEC, PACKET, RECORD }, { MESSAGE }, { encodeAck, encodeNodeState, encodePushPullHeader }, { StreamSeal }, { lzwDecompress }] =
    await Promise.all(
      ['kernels/backend', 'kernels/layout', 'kernels/contract', 'wire/messages', 'wire/stream', 'wire/lzw'].map((path) => import(`../../dist/${path}.js`)),
    );
  const codec = chooseBackend('auto').createPacketCodec({ ...TURN_CODEC_SIZES, shared: false });
  const udp = createSocket('udp4');
  udp.bind(0, '0.0.0.0');
  await once(udp, 'listening');
  const { port } = udp.address();
  udp.on('message', (bytes, from) => {
    codec.u8.set(bytes, codec.inboxOffset);
    codec.u32[(codec.packetsOffset + PACKET.offset) >>> 2] = codec.inboxOffset;
    codec.u32[(codec.packetsOffset + PACKET.length) >>> 2] = bytes.length;
    codec.u32[CODEC.inboxTop >>> 2] = bytes.length;
    const records = codec.index(1);
    for (let i = 0; i < records; i++) {
      const at = codec.recordsOffset + i * RECORD.stride;
      const kind = codec.u8[at + RECORD.kind];
      if (kind !== MESSAGE.ping && kind !== MESSAGE.indirectPing) continue;
      const out = new Uint8Array(64);
      udp.send(out.subarray(0, encodeAck(out, 0, { seqNo: codec.u32[(at + RECORD.number) >>> 2], payload: null, ext: 0 })), from.port, from.address);
    }
  });

  const state = new Uint8Array(64 + nodes * 128);
  let end = encodePushPullHeader(state, 0, { nodes, userStateLength: 0, join: false });
  for (let i = 0; i < nodes; i++) {
    end = encodeNodeState(state, end, {
      name: Buffer.from(`web-${i}.eu-west-1.example`),
      addr: Uint8Array.of(127, 1 + (i >> 16), (i >> 8) & 255, i & 255),
      port,
      meta: Buffer.from(`zone=${i % 3}`),
      incarnation: 1 + (i % 7),
      state: 0,
      vsn: Uint8Array.of(1, 5, 2, 0, 0, 0),
    });
  }
  const plain = { keyring: undefined, label: new Uint8Array(0), protocolVersion: 2, verifyIncoming: true, verifyOutgoing: true, compression: true, skipInboundLabelCheck: false, nonces: undefined };
  const seal = new StreamSeal(plain);
  const sealed = seal.wrap(state.subarray(0, end), false);
  const tcp = createServer({ allowHalfOpen: true }, (socket) => {
    const reader = seal.reader(true);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      const step = reader.push(chunk);
      if (step !== 'more') socket.end(step.kind === 'message' && step.message[0] === MESSAGE.pushPull ? sealed : undefined);
    });
  });
  tcp.listen(port, '0.0.0.0');
  await once(tcp, 'listening');
  process.on('message', async ({ exchange }) => {
    const at = exchange.lastIndexOf(':');
    const socket = connect({ host: exchange.slice(0, at), port: Number(exchange.slice(at + 1)), allowHalfOpen: true });
    socket.on('error', (error) => console.error(`exchange: ${error.message}`));
    socket.write(sealed);
    const reader = seal.reader(false);
    socket.on('data', (chunk) => {
      if (reader.push(chunk) !== 'more') socket.end();
    });
  });
  process.send({ address: `127.0.0.1:${port}`, plainBytes: end, wireBytes: sealed.length, canDecompress: lzwDecompress !== undefined });
}

async function subject() {
  const { Cluster } = await import('hearsay');
  const [thread] = values.thread.split(',');
  const cluster = await Cluster.start({ name: 'subject', bind: '127.0.0.1:0', backend: values.backend, thread });
  const here = new LoopMonitor();
  const channel = new BroadcastChannel(CHANNEL);
  const read = async () => {
    const main = here.read();
    if (thread === 'inline') return { main };
    const engine = new Promise((resolve, reject) => {
      const missing = setTimeout(() => reject(new Error('the engine thread does not answer: is loop-delay.mjs loaded there?')), 10_000);
      channel.onmessage = ({ data }) => {
        if (!data.isEngine) return;
        clearTimeout(missing);
        resolve(data);
      };
    });
    channel.postMessage('read');
    return { main, engine: await engine };
  };
  let joins = 0;
  const all = new Promise((resolve) => {
    cluster.on('join', () => ++joins === nodes && resolve());
  });
  // The first turns of a program are slow; they are not what is measured.
  await pause(500);
  joins = 0;
  channel.postMessage('reset');
  await pause(50);
  here.start();
  const began = performance.now();
  await cluster.join([values.seed]);
  const answeredMs = performance.now() - began;
  await all;
  const joinedMs = performance.now() - began;
  await pause(SETTLE_MS);
  const join = await read();
  const lookBegan = performance.now();
  const members = cluster.members().length;
  const lookMs = performance.now() - lookBegan;
  process.send({ address: cluster.self.address });
  // Reading the members is the program's own doing; it happened between the phases.
  await pause(20);
  await read();
  await pause(Number(values.seconds) * 1000);
  const after = await read();
  const { engine } = await cluster.stats();
  process.send({ backend: cluster.backend.name, thread, members, answeredMs, joinedMs, lookMs, pushPulls: engine.pushPullsMerged, join, after });
  channel.close();
  await cluster.stop();
  process.disconnect();
}

async function main() {
  const script = fileURLToPath(import.meta.url);
  const common = ['--nodes', String(nodes), '--seconds', values.seconds];
  const crowdProcess = fork(script, ['--role', 'crowd', ...common]);
  crowdProcess.on('exit', (code) => code && process.exit(code));
  const [{ address, plainBytes, wireBytes }] = await once(crowdProcess, 'message');
  const commit = execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8', cwd: fileURLToPath(new URL('.', import.meta.url)) }).trim();
  const load = loadavg()[0];
  const rows = [];
  for (const backend of values.backend.split(',')) {
    for (const thread of values.thread.split(',')) {
      const rounds = [];
      for (let i = 0; i < Number(values.rounds); i++) rounds.push(await round(script, common, crowdProcess, address, backend, thread));
      rows.push(summary(backend, thread, rounds));
    }
  }
  crowdProcess.kill();
  const machine = `${cpus()[0].model} x ${cpus().length}, load ${load.toFixed(1)}, Node ${process.version}, ${commit}`;
  print(machine, plainBytes, wireBytes, rows);
  if (values.write) writeBetween('docs/benchmarks.md', 'join-large', table(rows));
  if (values.json) writeFileSync(values.json, `${JSON.stringify({ machine, nodes, plainBytes, wireBytes, rows }, null, 2)}\n`);
}

async function round(script, common, crowdProcess, seed, backend, thread) {
  const monitor = new URL('loop-delay.mjs', import.meta.url).href;
  const child = fork(script, ['--role', 'subject', ...common, '--seed', seed, '--backend', backend, '--thread', thread], { execArgv: ['--import', monitor] });
  const exited = once(child, 'exit');
  const [joined] = await Promise.race([once(child, 'message'), failure(exited)]);
  setTimeout(() => crowdProcess.send({ exchange: joined.address }), (Number(values.seconds) * 1000) / 3);
  const [result] = await Promise.race([once(child, 'message'), failure(exited)]);
  await exited;
  return result;
}

async function failure(exited) {
  const [code] = await exited;
  throw new Error(`the subject ended with code ${code}`);
}

function summary(backend, thread, rounds) {
  const of = (pick) => median(rounds.map(pick));
  const view = (phase, loop, what) =>
    rounds[0][phase][loop][what] && {
      p50: of((round) => round[phase][loop][what].p50),
      p99: of((round) => round[phase][loop][what].p99),
      max: of((round) => round[phase][loop][what].max),
      worst: Math.max(...rounds.map((round) => round[phase][loop][what].max)),
    };
  const delays = (phase, loop) => rounds[0][phase][loop] && { delay: view(phase, loop, 'delay'), work: view(phase, loop, 'work') };
  const loops = (phase) => ({ application: delays(phase, 'main'), engine: delays(phase, 'engine') });
  return {
    backend,
    thread,
    rounds: rounds.length,
    members: of((round) => round.members),
    answeredMs: of((round) => round.answeredMs),
    joinedMs: of((round) => round.joinedMs),
    membersCallMs: of((round) => round.lookMs),
    pushPulls: of((round) => round.pushPulls),
    join: loops('join'),
    after: loops('after'),
  };
}

function table(rows) {
  const command = `node bench/cluster/join-large.mjs --backend ${values.backend} --thread ${values.thread} --rounds ${values.rounds} --write`;
  const lines = [
    `| joining ${nodes.toLocaleString('en-US')} members, ms | delay of the loop: p50 | p99 | longest | CPU time of a turn: p99 | longest |`,
    '|---|---:|---:|---:|---:|---:|',
  ];
  for (const row of rows) {
    for (const loop of ['application', 'engine']) {
      for (const phase of ['join', 'after']) {
        const view = row[phase][loop];
        if (!view) continue;
        const cells = [view.delay.p50, view.delay.p99, view.delay.max, view.work?.p99, view.work?.max].map((ms) => (ms === undefined ? '' : ms.toFixed(1)));
        lines.push(`| ${row.backend}, ${row.thread}: ${loop} thread, ${phase === 'join' ? 'while it joins' : 'ten seconds after'} | ${cells.join(' | ')} |`);
      }
    }
  }
  return [...lines, '', `Median of ${values.rounds} rounds. ${methodLine(command)}`];
}

function median(numbers) {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1];
}

function print(machine, plainBytes, wireBytes, rows) {
  console.log(`joining ${nodes} members: ${plainBytes} bytes of node states, ${wireBytes} on the wire; ${machine}`);
  console.log('                                     delay of the loop, ms             CPU time of a turn, ms');
  console.log('backend thread  loop         phase      p50      p99      max    worst      p50      p99      max    worst');
  for (const row of rows) {
    for (const loop of ['application', 'engine']) {
      for (const phase of ['join', 'after']) {
        if (!row[phase][loop]) continue;
        const { delay, work } = row[phase][loop];
        const cells = [delay, work]
          .flatMap((view) => (view ? [view.p50, view.p99, view.max, view.worst] : []))
          .map((ms) => ms.toFixed(1).padStart(9))
          .join('');
        console.log(`${row.backend.padEnd(7)} ${row.thread.padEnd(7)} ${loop.padEnd(12)} ${phase.padEnd(6)}${cells}`);
      }
    }
    console.log(
      `${row.backend.padEnd(7)} ${row.thread.padEnd(7)} join() resolved after ${row.answeredMs.toFixed(0)} ms, last 'join' after ${row.joinedMs.toFixed(0)} ms, ${row.pushPulls} exchanges, members() ${row.membersCallMs.toFixed(1)} ms`,
    );
  }
}
