// What one periodic exchange between two members of a cluster of 10,000 costs on the wire: delta push-pull against memberlist's full exchange.
//
//   node bench/cluster/delta-bytes.mjs [--write] [--json FILE]     needs dist/ (make build)
//
// Two engines in virtual time (hearsay/sim), so the bytes are the same on every machine and on both backends: counted are the messages on the stream,
// as they are handed to TCP, without label and encryption. The full exchange is run too, with and without LZW; its bytes are memberlist's (test/wire
// compares them), as it sends them with EnableCompression false and true. Every member has metadata of its own, which is the worst case for a dictionary.
// Every exchange is checked: afterwards both sides hold the same table. --write puts the table into docs/benchmarks.md and the numbers into docs/data, from where `make diagrams` has them.
// Non-goals: headers of TCP and IP, and how long it takes (bench/versus has the times).
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Simulation } from '../../dist/sim/index.js';
import { Prng } from '../../dist/util/prng.js';
import { encodeNodeState, encodePushPullHeader } from '../../dist/wire/messages.js';
import { commit, writeBetween } from '../../scripts/markers.mjs';

const { values } = parseArgs({ options: { write: { type: 'boolean', default: false }, json: { type: 'string' } } });
const root = fileURLToPath(new URL('../..', import.meta.url));

const SEED = 1;
const MEMBERS = 10_000;
const DIFFERING = [0, 1, 10, 100, 1000, 10_000];
/** Node states per message that fills a table. */
const TOLD_AT_ONCE = 5000;
const FROM = { ip: Uint8Array.of(10, 200, 0, 1), port: 4000 };
const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);
const KINDS = {
  delta: { deltaSync: true, compression: true },
  full: { deltaSync: false, compression: false },
  compressed: { deltaSync: false, compression: true },
};
const text = new TextEncoder();

/** The members that both know, besides themselves. */
const everybody = (() => {
  const prng = new Prng(SEED);
  const pick = (list) => list[prng.below(list.length)];
  return Array.from({ length: MEMBERS }, (_, i) => ({
    name: `node-${String(i).padStart(5, '0')}`,
    ip: Uint8Array.of(10, 1 + (i >> 16), (i >> 8) & 255, i & 255),
    incarnation: 1 + prng.below(50),
    meta: `role=${pick(['web', 'worker', 'cache', 'ingest'])} zone=${pick(['a', 'b', 'c'])} id=${hex(prng)}`,
  }));
})();

/** `differing` of them, spread evenly, have changed their metadata; every other one has told only a, the rest only b. */
function tables(differing) {
  const prng = new Prng(SEED + differing);
  const a = everybody.slice();
  const b = everybody.slice();
  for (let i = 0; i < differing; i++) {
    const index = Math.floor(((i + 0.5) * MEMBERS) / differing);
    const old = everybody[index];
    const changed = { ...old, incarnation: old.incarnation + 1, meta: `${old.meta.slice(0, -8)}${hex(prng)}` };
    (i % 2 === 0 ? a : b)[index] = changed;
  }
  return { a, b };
}

const rows = [
  ...DIFFERING.map((differing) => ({ label: differing.toLocaleString('en-US'), differing, ...tables(differing) })),
  { label: 'initiator empty', a: [], b: everybody },
  { label: 'acceptor empty', a: everybody, b: [] },
].map(({ a, b, label, differing }) => {
  const row = { label, differing };
  for (const [kind, tuning] of Object.entries(KINDS)) row[kind] = exchange(a, b, tuning);
  console.log(line(row));
  return row;
});

const source = `bench/cluster/delta-bytes.mjs, seed ${SEED}, commit ${commit()}`;
if (values.json) writeFileSync(values.json, `${JSON.stringify({ source, members: MEMBERS, rows }, undefined, 1)}\n`);
if (values.write) {
  writeBetween('docs/benchmarks.md', 'delta-bytes', table());
  writeFileSync(`${root}docs/data/delta-bytes.json`, `${JSON.stringify({ source: `Source: ${source}.`, members: MEMBERS, rows }, undefined, 1)}\n`);
}

/** Messages of one exchange opened by a: their lengths in bytes, in order. */
function exchange(a, b, tuning) {
  const quiet = { probeIntervalMs: 0, gossipIntervalMs: 0, gossipNodes: 0, pushPullIntervalMs: 0 };
  const sim = new Simulation({ seed: SEED, tuning: { ...quiet, ...tuning } });
  sim.addNodes(2);
  sim.joinAll();
  tell(sim, 'n0', a);
  tell(sim, 'n1', b);
  const messages = [];
  sim.rule(({ kind, lengthBytes }) => {
    if (kind === 'stream' && lengthBytes > 0) messages.push(lengthBytes);
    return undefined;
  });
  sim.act('n0', (engine, now) => engine.exchange(now, 'n1'));
  // Lists of 10,000 are merged in many turns.
  sim.run(60_000);
  const [left, right] = ['n0', 'n1'].map((name) => view(sim.node(name).engine));
  if (left !== right) throw new Error('the tables differ after the exchange');
  return messages;
}

function tell(sim, name, members) {
  for (let i = 0; i < members.length; i += TOLD_AT_ONCE) {
    const part = members.slice(i, i + TOLD_AT_ONCE);
    const out = new Uint8Array(256 + part.length * 200);
    let at = encodePushPullHeader(out, 0, { nodes: part.length, userStateLength: 0, join: false });
    for (const { name, ip, incarnation, meta } of part) {
      const state = { name: text.encode(name), addr: ip, port: 7946, meta: text.encode(meta), incarnation, state: 0, vsn: VSN };
      at = encodeNodeState(out, at, state);
    }
    sim.act(name, (engine, now) => engine.handleStream(now, FROM, out.subarray(0, at)));
    sim.run(20_000);
  }
  const { memberCount } = sim.node(name).engine;
  if (memberCount !== members.length + 2) throw new Error(`${name} holds ${memberCount} members after being told ${members.length}`);
}

function view(engine) {
  return engine
    .members()
    .map(({ name, status, incarnation, meta }) => `${name} ${status} ${incarnation} ${Buffer.from(meta).toString('hex')}`)
    .sort()
    .join('\n');
}

function table() {
  return [
    '| differing members of 10,000 | delta push-pull, bytes | messages | full exchange, bytes | compressed (LZW), bytes | compressed / delta |',
    '|---|---:|---:|---:|---:|---:|',
    ...rows.map(line),
    '',
    `Bytes of both directions together. Source: ${source}.`,
    'Command: `node bench/cluster/delta-bytes.mjs --write`. A full exchange always has two messages.',
  ];
}

function line({ label, delta, full, compressed }) {
  const cells = [label, show(sum(delta)), delta.length, show(sum(full)), show(sum(compressed)), `${show(sum(compressed) / sum(delta))}x`];
  return `| ${cells.join(' | ')} |`;
}

function sum(list) {
  return list.reduce((total, each) => total + each, 0);
}

function show(value) {
  return value.toLocaleString('en-US', value < 10 ? { maximumFractionDigits: 1 } : { maximumFractionDigits: 0 });
}

function hex(prng) {
  return prng.next().toString(16).padStart(8, '0');
}
