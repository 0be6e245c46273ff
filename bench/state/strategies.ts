/**
 * What it costs to reconcile two stores, for each strategy, over sizes of state and numbers of differences.
 *
 *   node bench/state/strategies.mjs [--sizes 1000,10000,100000,1000000] [--strategies NAME,...] [--shapes fresh,spread,empty]
 *                                   [--writers] [--million] [--results FILE] [--write]
 *
 * Both stores live in this process and hand their messages to each other: bytes and messages are exact and the same on every machine; CPU time is that of both
 * sides together, median of up to five runs. Records have 15 bytes of key and 32 of value and 16 writers, messages at most 64 KiB.
 * After every conversation the two stores must have equal sums, or the run fails (Scuttlebutt alone is allowed to leave some: it says so).
 *
 * Results go to FILE (default out/bench/strategies.json), one row per cell; a run replaces its cells there and keeps the others, so that a long
 * measurement can be made in pieces. --writers measures ten differences with more and more
 * writers, --million one store of a million records: writes, memory, the first sync. --write puts the tables into
 * docs/reconciliation.md and draws docs/diagrams/reconciliation.svg from FILE.
 * Non-goals: the network, and the map above the store.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { STRATEGIES } from '../../src/state/reconcile/strategies.ts';
import { environment, insertBetweenMarkers } from '../report.ts';
import { million } from './million.ts';
import { type Cost, converse, type Shape, States } from './states.ts';
import { drawStrategies } from './strategies-plot.ts';
import { type Results, type Row, tables } from './strategies-report.ts';

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1000,10000,100000,1000000' },
    strategies: { type: 'string', default: STRATEGIES.map(({ name }) => name).join(',') },
    shapes: { type: 'string', default: 'fresh,spread,empty' },
    writers: { type: 'boolean', default: false },
    million: { type: 'boolean', default: false },
    results: { type: 'string', default: 'out/bench/strategies.json' },
    write: { type: 'boolean', default: false },
  },
});
const sizes = values.sizes.split(',').filter(Boolean).map(Number);
const strategies = values.strategies.split(',').map((name) => {
  const found = STRATEGIES.find((each) => each.name === name);
  if (!found) throw new Error(`--strategies: ${name} is none of ${STRATEGIES.map((each) => each.name).join(', ')}`);
  return found;
});

/** Differences: a number, or a part of the size. */
const DIFFERENCES = [
  { label: '0', of: () => 0 },
  { label: '1', of: () => 1 },
  { label: '10', of: () => 10 },
  { label: '0.1 %', of: (size: number) => size / 1000 },
  { label: '1 %', of: (size: number) => size / 100 },
  { label: '10 %', of: (size: number) => size / 10 },
  { label: '50 %', of: (size: number) => size / 2 },
  { label: '100 %', of: (size: number) => size },
] as const;
/** Lost writes are measured up to this size: every case needs stores of its own. */
const SPREAD_SIZE_MAX = 100_000;
const WRITERS = [16, 64, 256, 1000, 10_000];
const WRITERS_SIZE = 100_000;
const SEED = 1;
const RUNS = 5;
/** A case is not repeated once its runs took this long, ms. */
const PATIENCE_MS = 1500;

const results: Results = existsSync(values.results)
  ? (JSON.parse(readFileSync(values.results, 'utf8')) as Results)
  : { rows: [], million: undefined, where: environment(commandLine()) };
let salt = SEED;

if (values.write) write();
else {
  results.where = environment(commandLine());
  for (const size of sizes)
    for (const shape of values.shapes.split(',').filter(Boolean) as Shape[]) measure(size, shape);
  if (values.writers) for (const writers of WRITERS) measureWriters(writers);
  if (values.million) results.million = await million();
  save();
}

function commandLine(): string {
  return `node bench/state/strategies.mjs ${process.argv.slice(2).join(' ')}`.trim();
}

function measure(size: number, shape: Shape): void {
  if (shape === 'spread' && size > SPREAD_SIZE_MAX) return;
  const states = new States(size, SEED);
  if (shape === 'fresh') states.fill(shape);
  for (const { label, of } of DIFFERENCES) {
    const count = of(size);
    if (
      !Number.isInteger(count) ||
      (shape === 'empty' && count !== size) ||
      (shape === 'spread' && (count < 1 || count > size / 10))
    )
      continue;
    for (const strategy of strategies) {
      const costs: Cost[] = [];
      const until = performance.now() + PATIENCE_MS;
      while (costs.length < RUNS && (costs.length === 0 || performance.now() < until)) {
        if (shape === 'fresh') states.diverge(count);
        else states.fill(shape, count);
        const cost = converse(strategy, states, salt++);
        if (!cost.isEqual && strategy.name !== 'scuttlebutt')
          throw new Error(`${strategy.name}, ${size}, ${label}: the stores differ`);
        costs.push(cost);
        if (!cost.isEqual) converse(STRATEGIES[0] as (typeof STRATEGIES)[0], states, salt++);
      }
      keep({ size, shape, label, count, strategy: strategy.name, ...summary(costs) });
    }
  }
}

/** Ten differences, whatever the number of writers. */
function measureWriters(writers: number): void {
  const states = new States(WRITERS_SIZE, SEED, writers);
  states.fill('fresh');
  for (const strategy of strategies) {
    const costs: Cost[] = [];
    for (let i = 0; i < RUNS; i++) {
      states.diverge(10);
      costs.push(converse(strategy, states, salt++));
    }
    keep({
      size: WRITERS_SIZE,
      shape: 'writers',
      label: writers.toLocaleString('en-US'),
      count: writers,
      strategy: strategy.name,
      ...summary(costs),
    });
  }
}

function summary(costs: readonly Cost[]) {
  const byTime = [...costs].sort((one, two) => one.cpuMs - two.cpuMs);
  const { bytes, messages, turns, entries } = costs[0] as Cost;
  const median = byTime[byTime.length >> 1] as Cost;
  return {
    bytes,
    messages,
    turns,
    entries,
    cpuMs: median.cpuMs,
    turnP99Ms: median.turnsMs[Math.floor(0.99 * (median.turnsMs.length - 1))] as number,
    turnMaxMs: median.turnsMs.at(-1) as number,
    isEqual: costs.every((cost) => cost.isEqual),
  };
}

function keep(measured: Omit<Row, 'commit'>): void {
  const row = { ...measured, commit: results.where.commit };
  const isOther = (each: Row) =>
    each.size !== row.size || each.shape !== row.shape || each.label !== row.label || each.strategy !== row.strategy;
  results.rows = [...results.rows.filter(isOther), row];
  console.log(
    `${row.size} ${row.shape} ${row.label} ${row.strategy}: ${row.bytes} bytes, ${row.messages} messages, ${row.turns} turns, ${row.entries} records, ${row.cpuMs.toFixed(2)} ms, turns up to ${row.turnMaxMs.toFixed(1)} ms${row.isEqual ? '' : ', NOT equal'}`,
  );
  save();
}

function save(): void {
  mkdirSync(dirname(values.results), { recursive: true });
  writeFileSync(values.results, `${JSON.stringify(results, undefined, 1)}\n`);
}

function write(): void {
  const path = 'docs/reconciliation.md';
  let document = readFileSync(path, 'utf8');
  for (const [name, table] of Object.entries(tables(results))) document = insertBetweenMarkers(document, name, table);
  writeFileSync(path, document);
  writeFileSync('docs/diagrams/reconciliation.svg', drawStrategies(results));
}
