// `make fuzz`: hostile packets and streams, seeded, against the codec (C++ and twin), the packet and stream layers, whole
// engines in virtual time, and conversations that reconcile two stores. Needs a build (dist/).
//
//   node scripts/fuzz.mjs [--count 10000000] [--seconds 1800] [--seed 1]
//
// Stops at `count` inputs or after `seconds`, whichever comes first; a run that was not given --seconds fails when time is up
// before `count`. What is checked: nothing throws; every rejection has a name and is counted once; rejected input leaves the
// member table as it was; both engines of a kernel leave the same bytes; memory does not grow. A finding ends the run with
// the input in hex; the same seed finds it again.
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Inputs, loadCorpus } from './fuzz/inputs.mjs';
import { ReconcileTarget } from './fuzz/reconcile.mjs';
import {
  availableBackends,
  CodecTarget,
  EngineTarget,
  Finding,
  REASONS,
  SealTarget,
  StreamTarget,
} from './fuzz/targets.mjs';

/** Time limit of a run that was not given one: enough for the default count on a slow machine. */
const SECONDS_DEFAULT = 1800;

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '10000000' },
    seconds: { type: 'string' },
    seed: { type: 'string', default: '1' },
  },
});
const count = positive('count');
const seconds = values.seconds === undefined ? SECONDS_DEFAULT : positive('seconds');
const seed = positive('seed');

/** Where memory may end up above where it was after the warm-up. */
const HEAP_GROWTH_MAX = 8 * 1024 * 1024;
const RSS_GROWTH_MAX = 48 * 1024 * 1024;
const SAMPLE_EVERY_MS = 2000;
/** Part of the run after which compiled code and pools have their size. */
const WARM_UP = 0.25;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

const backends = availableBackends();
const inputs = new Inputs(seed, loadCorpus());
const codec = new CodecTarget(backends);
const seal = new SealTarget();
const stream = new StreamTarget();
const engine = new EngineTarget(backends, seed);
const reconcile = new ReconcileTarget(seed);
const targets = [codec, seal, stream, engine, reconcile];
/** Of each 33 turns: the codec's take 32 inputs, the others' 16. */
const TURNS = [
  ...new Array(20).fill(codec),
  ...new Array(4).fill(seal),
  ...new Array(4).fill(stream),
  ...new Array(4).fill(engine),
  reconcile,
];

console.log(
  `fuzz: seed ${seed}, at most ${count.toLocaleString('en-US')} inputs or ${seconds} s, backends ${backends.map(({ name }) => name).join(', ')}`,
);

const began = performance.now();
const samples = [];
let done = 0;
let lastSample = began;
let finding;
try {
  for (let turn = 0; done < count; turn++) {
    done += TURNS[turn % TURNS.length].run(inputs);
    const now = performance.now();
    if (now - lastSample >= SAMPLE_EVERY_MS) {
      lastSample = now;
      samples.push(sample());
      progress();
      if (now - began >= seconds * 1000) break;
    }
  }
} catch (error) {
  finding = error;
}
samples.push(sample());
if (process.stderr.isTTY) process.stderr.write('\n');

table();
const leak = growth();
/** Time was up, and nobody had asked for so little. */
const isShort = done < count && values.seconds === undefined;
if (finding) {
  console.error(
    `\nfuzz: FOUND after ${done.toLocaleString('en-US')} inputs, seed ${seed}: ${finding instanceof Finding ? finding.message : finding.stack}`,
  );
} else if (leak) console.error(`\nfuzz: FOUND memory growth: ${leak}`);
else if (isShort) {
  console.error(
    `\nfuzz: INCOMPLETE: ${done.toLocaleString('en-US')} of ${count.toLocaleString('en-US')} inputs in ${seconds} s, nothing found so far; give --seconds to be content with less`,
  );
} else {
  const took = (performance.now() - began) / 1000;
  console.log(`\nfuzz: ${done.toLocaleString('en-US')} inputs in ${took.toFixed(0)} s, nothing found, seed ${seed}`);
}
process.exitCode = finding || leak || isShort ? 1 : 0;

function positive(name) {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < 1 || value > 2 ** 32 - 1) {
    console.error(`fuzz: --${name}: expected an integer from 1 to ${2 ** 32 - 1}, got ${values[name]}`);
    process.exit(2);
  }
  return value;
}

/** Memory right after a collection: what is really held. */
function sample() {
  collectGarbage();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { done, rss, held: heapUsed + external };
}

function progress() {
  const { rss, held } = samples.at(-1);
  const rate = done / ((performance.now() - began) / 1000);
  const line = `${done.toLocaleString('en-US')} inputs, ${Math.round(rate).toLocaleString('en-US')}/s, held ${mib(held)}, RSS ${mib(rss)}`;
  if (process.stderr.isTTY) process.stderr.write(`\r${line}   `);
  else if (samples.length % 15 === 0) console.log(line);
}

/** What grew, or undefined: the median of the last third against the median of what follows the warm-up. */
function growth() {
  const settled = samples.filter((each) => each.done >= done * WARM_UP);
  if (settled.length < 6) return undefined;
  const third = Math.floor(settled.length / 3);
  const median = (part, field) => part.map((each) => each[field]).sort((a, b) => a - b)[part.length >> 1];
  const change = (field) => median(settled.slice(-third), field) - median(settled.slice(0, third), field);
  const held = change('held');
  const rss = change('rss');
  const from = settled[0].done.toLocaleString('en-US');
  console.log(`\nmemory from input ${from} on: held ${signedMib(held)}, RSS ${signedMib(rss)}`);
  if (held > HEAP_GROWTH_MAX) return `held memory ${signedMib(held)}`;
  return rss > RSS_GROWTH_MAX ? `RSS ${signedMib(rss)}` : undefined;
}

function table() {
  const width = 14;
  const row = (head, cells) => `${head.padEnd(16)}${cells.map((cell) => String(cell).padStart(width)).join('')}`;
  console.log(
    `\n${row(
      'reason',
      targets.map(({ name }) => name),
    )}`,
  );
  REASONS.forEach((reason, code) => {
    const cells = targets.map(({ counts }) => counts.byReason[code]);
    if (cells.some((cell) => cell > 0))
      console.log(
        row(
          reason,
          cells.map((cell) => cell.toLocaleString('en-US')),
        ),
      );
  });
  console.log(
    row(
      'all',
      targets.map(({ counts }) => counts.total.toLocaleString('en-US')),
    ),
  );
}

function mib(bytes) {
  return `${(bytes / 1048576).toFixed(1)} MiB`;
}

function signedMib(bytes) {
  return `${bytes < 0 ? '-' : '+'}${mib(Math.abs(bytes))}`;
}
