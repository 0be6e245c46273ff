import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import type { ClusterMap } from '../cluster/map.ts';
import type { StrategyName } from '../state/map-options.ts';
import { partition } from '../transport/faulty.ts';
import { formatAddress } from '../util/address.ts';
import { Prng } from '../util/prng.ts';
import { Fleet } from './fleet.ts';
import { EXIT_FAILED, EXIT_INTERRUPTED, integer, interruptSignal, outputFile } from './options.ts';
import { pad, padLeft, seconds, Terminal } from './terminal.ts';
import { Interrupted, pause, waitUntil } from './wait.ts';

interface AntiEntropyOptions {
  readonly nodes: number;
  readonly keys: number;
  readonly seconds: number;
  readonly seed: number;
  readonly json?: string;
  readonly quiet?: boolean;
}

const LIMIT_MS = 60_000;
/** One write per node in so many ms while there is load. */
const WRITE_EVERY_MS = 20;
const DELETES = 0.2;
/** Looks at the replicas while they heal that are printed. */
const LINES_MAX = 20;
const MAP = 'services';
const MAP_OPTIONS = { antiEntropyIntervalMs: 2000, certificateIntervalMs: 4000 } as const;
const STRATEGIES: readonly StrategyName[] = ['checksumFirst', 'range', 'merkle', 'scuttlebutt', 'peelBack'];
/** What the strategies are compared on: records that both have, and those that one side wrote last. */
const COMPARED = { records: 5000, differences: 50 } as const;

interface Traffic {
  readonly bytes: number;
  readonly exchanges: number;
  readonly byRumor: number;
  readonly byExchange: number;
}

interface StrategyResult {
  readonly strategy: string;
  readonly bytes: number;
  readonly roundTrips: number;
  readonly ms: number;
}

export function antiEntropyCommand(): Command {
  return new Command('anti-entropy')
    .description('show a replicated map that repairs itself: writes, a partition, divergence, healing')
    .addHelpText(
      'after',
      `
Real nodes on loopback share one map. They write under load, a partition cuts
them in two, both sides go on writing and deleting, the cut heals, and in the end
all replicas are byte for byte the same. Then the ways to find differences are
compared on one pair of nodes.
Exit code 0: all replicas became the same; 1: they did not; 2: wrong arguments.`,
    )
    .option('-n, --nodes <number>', 'nodes', integer(2, 64), 8)
    .option('-k, --keys <number>', 'keys that are written', integer(10, 100_000), 1000)
    .option('--seconds <number>', 'how long the partition lasts', integer(1, 120), 5)
    .option('-s, --seed <number>', 'start of all random choices', integer(0, 2 ** 32 - 1), 1)
    .option('--json <file>', 'write the results to this file ("-": standard output)', outputFile)
    .option('-q, --quiet', 'print nothing but errors')
    .action(async (options: AntiEntropyOptions) => {
      process.exitCode = await runAntiEntropy(options);
    });
}

/** Runs the show; returns the exit code. */
export async function runAntiEntropy(options: AntiEntropyOptions): Promise<number> {
  const terminal = new Terminal(options.quiet === true || options.json === '-');
  const { bold, green, red } = terminal.color;
  const show = new Show(options, terminal, interruptSignal());
  terminal.line(`${bold('hearsay anti-entropy')}  ${options.nodes} nodes, ${options.keys} keys, one map`);
  let problem: string | undefined;
  let interrupted = false;
  try {
    await show.run();
  } catch (error) {
    if (error instanceof Interrupted) interrupted = true;
    else problem = error instanceof Error ? error.message : String(error);
  }
  await show.stop();
  if (interrupted) {
    terminal.line('\n  interrupted');
    return EXIT_INTERRUPTED;
  }
  terminal.line();
  terminal.line(`  ${problem === undefined ? green('all replicas are byte for byte the same') : red(problem)}`);
  const record = {
    command: 'anti-entropy',
    nodes: options.nodes,
    keys: options.keys,
    rngSeed: options.seed,
    ok: problem === undefined,
    problem: problem ?? null,
    ...show.results,
  };
  const text = `${JSON.stringify(record, undefined, 2)}\n`;
  if (options.json === '-') process.stdout.write(text);
  else if (options.json !== undefined) writeFileSync(options.json, text);
  if (problem !== undefined) process.stderr.write(`hearsay: ${problem}\n`);
  return problem === undefined ? 0 : EXIT_FAILED;
}

class Show {
  readonly results: Record<string, unknown> = {};
  readonly #options: AntiEntropyOptions;
  readonly #terminal: Terminal;
  readonly #signal: AbortSignal;
  readonly #fleet: Fleet;
  readonly #prng: Prng;
  #maps: ClusterMap[] = [];
  #writes = 0;
  #deletes = 0;

  constructor(options: AntiEntropyOptions, terminal: Terminal, signal: AbortSignal) {
    this.#options = options;
    this.#terminal = terminal;
    this.#signal = signal;
    this.#prng = new Prng(options.seed);
    this.#fleet = new Fleet({
      size: options.nodes,
      rngSeed: options.seed,
      common: { profile: 'local', rejoinIntervalMs: 500 },
    });
  }

  async run(): Promise<void> {
    await this.#join();
    await this.#load();
    const sides = await this.#divide();
    await this.#heal(sides);
    await this.#certificates();
    await this.#compare();
  }

  stop(): Promise<void> {
    return this.#fleet.stop();
  }

  async #join(): Promise<void> {
    const { nodes } = this.#options;
    const fleet = this.#fleet;
    await fleet.probeAddresses();
    await fleet.start(
      () => this.#signal.aborted,
      () => undefined,
    );
    await this.#until('everybody knowing everybody', () => fleet.nodes.every(({ known }) => known === nodes));
    this.#maps = fleet.nodes.map(({ cluster }) => cluster.map(MAP, MAP_OPTIONS));
    await this.#until('the map being open everywhere', () =>
      this.#maps.every(({ peers }) => peers.length === nodes - 1),
    );
  }

  async #load(): Promise<void> {
    const { keys } = this.#options;
    this.#terminal.heading('Writes', 'each node writes and deletes keys of one map; rumors carry the news');
    const fromMs = performance.now();
    for (let i = 0; i < keys; i++) this.#write(i % this.#maps.length, `key-${i}`);
    await this.#whileWriting(2000);
    const wroteMs = performance.now();
    await this.#untilSame();
    const sameMs = performance.now() - wroteMs;
    const { byRumor, byExchange, bytes } = this.#traffic();
    this.#terminal.at(
      performance.now() - fromMs,
      `${this.#writes} writes, ${this.#deletes} deletes; the same everywhere ${seconds(sameMs)} after the last`,
    );
    this.#terminal.line(
      `             ${byRumor} records arrived as rumors, ${byExchange} by comparing; ${kib(bytes)} in all`,
    );
    this.results['load'] = { writes: this.#writes, deletes: this.#deletes, sameAfterMs: sameMs, ...this.#traffic() };
  }

  /** Cuts the fleet in two halves that both go on. */
  async #divide(): Promise<{ readonly heal: () => void }> {
    const { seconds: lasts } = this.#options;
    const fleet = this.#fleet;
    this.#terminal.heading(
      'Partition',
      'half of the nodes cannot reach the other half; both go on writing and deleting',
    );
    const fromMs = performance.now();
    const middle = Math.ceil(fleet.nodes.length / 2);
    const left = new Set(fleet.nodes.slice(0, middle).map(({ address }) => address));
    const heal = fleet.network.add(partition((address) => left.has(formatAddress(address))));
    const before = this.#writes + this.#deletes;
    await this.#whileWriting(lasts * 1000);
    await this.#until(
      'each side being the same',
      () => same(this.#maps.slice(0, middle)) && same(this.#maps.slice(middle)),
    );
    const [a, b] = [this.#maps[0] as ClusterMap, this.#maps[middle] as ClusterMap];
    const differing = difference(a, b);
    this.#terminal.at(
      performance.now() - fromMs,
      `${this.#writes + this.#deletes - before} writes and deletes; ${differing} of ${a.stats.records} records differ`,
    );
    this.#terminal.line(`             digests ${a.digest} and ${b.digest}`);
    this.results['partition'] = {
      changes: this.#writes + this.#deletes - before,
      differing,
      digests: [a.digest, b.digest],
    };
    return { heal };
  }

  async #heal({ heal }: { readonly heal: () => void }): Promise<void> {
    this.#terminal.heading(
      'Healing',
      'nodes compare with random partners: checksums, then versions, then what is missing',
    );
    const fromMs = performance.now();
    const before = this.#traffic();
    heal();
    let shown = 0;
    let lines = 0;
    await this.#until(
      'all replicas being the same',
      () => same(this.#maps),
      () => {
        const counts = new Map<string, number>();
        for (const { digest } of this.#maps) counts.set(digest, (counts.get(digest) ?? 0) + 1);
        if (counts.size === shown || counts.size === 1 || lines >= LINES_MAX) return;
        shown = counts.size;
        lines++;
        const groups = [...counts].map(([digest, count]) => `${count} x ${digest.slice(-8)}`);
        this.#terminal.at(
          performance.now() - fromMs,
          `${counts.size} different replicas: ${groups.slice(0, 3).join(', ')}`,
        );
      },
    );
    const tookMs = performance.now() - fromMs;
    const after = this.#traffic();
    const bytes = after.bytes - before.bytes;
    const exchanges = after.exchanges - before.exchanges;
    this.#terminal.at(
      tookMs,
      `the same everywhere: ${exchanges} exchanges, ${after.byExchange - before.byExchange} records, ${kib(bytes)}`,
    );
    const hashes = this.#maps.map((map) => createHash('sha256').update(map.dump().join('\n')).digest('hex'));
    if (new Set(hashes).size !== 1) throw new Error('replicas with one digest are not byte for byte the same');
    this.#terminal.line(
      `             SHA-256 of all ${hashes.length} replicas: ${(hashes[0] as string).slice(0, 32)}…`,
    );
    this.results['healing'] = { ms: tookMs, bytes, exchanges, sha256: hashes[0] };
  }

  async #certificates(): Promise<void> {
    this.#terminal.heading('Death certificates', 'a deleted key is remembered until every live member has seen it');
    const fromMs = performance.now();
    const tombstones = this.#maps[0]?.stats.tombstones ?? 0;
    await this.#until('all tombstones being let go of', () => this.#maps.every(({ stats }) => stats.tombstones === 0));
    const dormant = this.#maps.reduce((sum, { stats }) => sum + stats.dormant, 0);
    this.#terminal.at(
      performance.now() - fromMs,
      `${tombstones} gone everywhere, ${dormant} copies kept aside on a few nodes in case somebody comes back with an old version`,
    );
    await this.#untilSame();
    this.results['certificates'] = { tombstones, dormant, ms: performance.now() - fromMs };
  }

  /** The same difference between two nodes, found in five ways. */
  async #compare(): Promise<void> {
    const { records, differences } = COMPARED;
    this.#terminal.heading('Strategies', `${records} records, the last ${differences} writes on one side only`);
    const { bold, dim } = this.#terminal.color;
    this.#terminal.line(
      dim(`  ${pad('strategy', 16)}${padLeft('bytes', 12)}${padLeft('round trips', 14)}${padLeft('time', 12)}`),
    );
    const results: StrategyResult[] = [];
    for (const strategy of STRATEGIES) {
      const result = await this.#measure(strategy);
      results.push(result);
      this.#terminal.line(
        `  ${bold(pad(strategy, 16))}${padLeft(result.bytes.toLocaleString('en-US'), 12)}${padLeft(String(result.roundTrips), 14)}${padLeft(`${result.ms.toFixed(1)} ms`, 12)}`,
      );
    }
    this.results['strategies'] = results;
  }

  async #measure(strategy: StrategyName): Promise<StrategyResult> {
    const name = `compare ${strategy}`;
    const options = { antiEntropyIntervalMs: 0, gossipFanout: 0, strategy } as const;
    const [first, second] = this.#fleet.nodes.map(({ cluster }) => cluster);
    const [a, b] = [first?.map(name, options), second?.map(name, options)] as [ClusterMap, ClusterMap];
    for (let i = 0; i < COMPARED.records; i++) a.set(`key-${i}`, `value of ${i}`);
    await this.#until(
      'two nodes sharing a map',
      () => a.peers.includes(second?.name ?? '') && b.peers.includes(first?.name ?? ''),
    );
    await a.exchange(second?.name as string);
    for (let i = 0; i < COMPARED.differences; i++) a.set(`key-${i * 97}`, `new value of ${i}`);
    const { stats, roundTrips, durationMs } = await b.exchange(first?.name as string);
    if (!same([a, b])) throw new Error(`${strategy}: the two nodes are not the same after comparing`);
    a.close();
    b.close();
    return { strategy, bytes: stats.bytesSent + stats.bytesReceived, roundTrips, ms: durationMs };
  }

  #write(node: number, key: string): void {
    const map = this.#maps[node] as ClusterMap;
    if (this.#prng.unit() < DELETES && map.delete(key)) this.#deletes++;
    else {
      map.set(key, `${this.#fleet.nodes[node]?.name} ${this.#writes}`);
      this.#writes++;
    }
  }

  async #whileWriting(ms: number): Promise<void> {
    const writer = setInterval(() => {
      for (let i = 0; i < this.#maps.length; i++) this.#write(i, `key-${this.#prng.below(this.#options.keys)}`);
      this.#terminal.live(`  ${this.#writes} writes, ${this.#deletes} deletes`);
    }, WRITE_EVERY_MS);
    try {
      await pause(this.#fleet, ms, this.#signal);
    } finally {
      clearInterval(writer);
    }
  }

  #untilSame(): Promise<void> {
    return this.#until('all replicas being the same', () => same(this.#maps));
  }

  #until(what: string, isDone: () => boolean, tick?: () => void): Promise<void> {
    return waitUntil(this.#fleet, isDone, {
      timeoutMs: LIMIT_MS,
      signal: this.#signal,
      what,
      ...(tick ? { tick } : {}),
    });
  }

  #traffic(): Traffic {
    const all = this.#maps.map(({ stats }) => stats);
    const sum = (pick: (stats: (typeof all)[number]) => number): number =>
      all.reduce((total, each) => total + pick(each), 0);
    return {
      bytes: sum(({ packetBytes, streamBytes }) => packetBytes + streamBytes),
      exchanges: sum(({ exchanges }) => exchanges),
      byRumor: sum(({ entriesByRumor }) => entriesByRumor),
      byExchange: sum(({ entriesByExchange }) => entriesByExchange),
    };
  }
}

function same(maps: readonly ClusterMap[]): boolean {
  return maps.every(({ digest }) => digest === maps[0]?.digest);
}

/** Records that one has and the other has not, or in another version. */
function difference(a: ClusterMap, b: ClusterMap): number {
  const theirs = new Set(b.dump());
  return a.dump().filter((line) => !theirs.has(line)).length;
}

function kib(bytes: number): string {
  return `${Math.round(bytes / 1024).toLocaleString('en-US')} KiB`;
}
