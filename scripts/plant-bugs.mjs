// `make sim-bugs`: plants bugs in the engine, one at a time, and says which seed of the simulation finds each.
//
//   node scripts/plant-bugs.mjs [--seeds 200] [--only name,name] [--write] [--json FILE]
//
// A bug is a piece of source text and what stands there instead; a text that is not found (or twice) is an error here, so that the list cannot
// rot. The changed sources are bundled into one file outside the tree and run on the TypeScript twins. Exit code 1 when a bug stays unfound,
// or when the unchanged sources show one. --write puts the table into docs/simulation.md.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { commit, writeBetween } from './markers.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Each: a name, what it is, and the change. */
export const BUGS = [
  {
    name: 'old-news',
    what: 'an alive message is believed whatever its incarnation',
    file: 'src/kernels/js/precedence.ts',
    from: 'return newIncarnation > knownIncarnation || (news & NEWS.addressUpdate) !== 0',
    to: 'return newIncarnation !== knownIncarnation || (news & NEWS.addressUpdate) !== 0',
  },
  {
    name: 'late-timer',
    what: 'the timer of a suspicion is not cancelled when the member refutes it',
    file: 'src/protocol/membership.ts',
    from: '    this.#context.timers.cancel(suspicion.token);\n    this.#context.timers.cancel(suspicion.remindToken);\n    this.#suspicions.delete(slot);',
    to: '',
  },
  {
    name: 'queue-bound',
    what: 'the queue takes one entry more than it has room for',
    file: 'src/kernels/js/broadcast-queue.ts',
    from: '      (u32[LIVE] as number) >= this.capacity ||',
    to: '      (u32[LIVE] as number) > this.capacity ||',
  },
  {
    name: 'weak-refutation',
    what: 'a refutation repeats the incarnation of the accusation instead of exceeding it',
    file: 'src/kernels/js/precedence.ts',
    from: 'Math.max(accusedIncarnation, ownIncarnation) + 1',
    to: 'Math.max(accusedIncarnation, ownIncarnation)',
  },
  {
    name: 'transmit-limit',
    what: 'news is sent once more often than its limit',
    file: 'src/kernels/js/broadcast-lane.ts',
    from: 'if (transmits >= transmitLimit) continue;',
    to: 'if (transmits > transmitLimit) continue;',
  },
  {
    name: 'short-memory',
    what: 'a dead member is forgotten at the next shuffle, however long it has been dead',
    file: 'src/kernels/js/member-order.ts',
    from: '!isOlder(rows.f64[(row + ROW.statusSinceMs) >>> 3] as number, nowMs, reapAfterMs)',
    to: 'false',
  },
  {
    name: 'stale-suspicion',
    what: 'a suspicion of an earlier incarnation is believed',
    file: 'src/kernels/js/precedence.ts',
    from: 'case STATUS.suspect:\n      if (newIncarnation < knownIncarnation) return VERDICT.ignore;',
    to: 'case STATUS.suspect:',
  },
  {
    name: 'double-news',
    what: 'news about a member does not replace what is queued about it',
    file: 'src/kernels/js/broadcast-queue.ts',
    from: 'if (key !== 0) this.#index.put(key, entry);',
    to: '',
  },
  {
    name: 'silent-death',
    what: 'whoever finds a member dead does not tell, and the suspicion that others hold never runs out',
    file: 'src/protocol/membership.ts',
    from: '    this.accuse(nowMs, slot, MESSAGE.dead, roster.incarnation(slot));',
    to: '',
  },
  {
    name: 'forgotten-ack',
    what: 'an ack that comes after others were asked does not end the probe',
    file: 'src/protocol/prober.ts',
    from: '    } else stats.probesAckedIndirectly++;',
    to: '    } else return;',
  },
];

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();

async function main() {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '200' },
      only: { type: 'string' },
      write: { type: 'boolean', default: false },
      json: { type: 'string' },
    },
  });
  const seeds = Number(values.seeds);
  if (!Number.isInteger(seeds) || seeds < 1) stop(`--seeds: expected a whole number from 1, got ${values.seeds}`);
  const only = values.only?.split(',');
  const unknown = only?.find((name) => !BUGS.some((bug) => bug.name === name));
  if (unknown) stop(`--only: expected some of ${BUGS.map(({ name }) => name).join(', ')}, got ${unknown}`);
  const found = [];
  const healthy = await firstSeed(undefined, seeds);
  if (healthy) stop(`the unchanged sources fail with seed ${healthy.seed}: ${healthy.problem}`, 1);
  console.log(`unchanged: ${seeds} seeds without a complaint`);
  for (const bug of BUGS.filter(({ name }) => only?.includes(name) ?? true)) {
    const hit = await firstSeed(bug, seeds);
    console.log(hit ? `${bug.name}: seed ${hit.seed}: ${hit.problem}` : `${bug.name}: NOT FOUND in ${seeds} seeds`);
    found.push({ ...bug, ...hit });
  }
  if (values.json) writeFileSync(values.json, `${JSON.stringify(found, null, 2)}\n`);
  if (values.write) write(found, seeds);
  if (found.some(({ seed }) => seed === undefined)) process.exit(1);
}

/** The first seed from 1 that shows the bug, and how it shows; undefined when none does. */
export async function firstSeed(bug, seeds) {
  const folder = mkdtempSync(join(tmpdir(), 'hearsay-bug-'));
  try {
    const outfile = join(folder, 'trial.mjs');
    await build({
      entryPoints: [join(root, 'src/sim/trial/trial.ts')],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
      plugins: bug ? [planted(bug)] : [],
    });
    const { runTrial } = await import(pathToFileURL(outfile).href);
    for (let seed = 1; seed <= seeds; seed++) {
      const { problem } = runTrial(seed, { backend: 'js' });
      if (problem !== undefined) return { seed, problem };
    }
    return undefined;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function planted({ name, file, from, to }) {
  return {
    name: 'planted-bug',
    setup(plugin) {
      plugin.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        if (relative(root, path).split('\\').join('/') !== file) return undefined;
        const text = readFileSync(path, 'utf8');
        const parts = text.split(from);
        if (parts.length !== 2)
          throw new Error(`${name}: expected its text once in ${file}, found it ${parts.length - 1} times`);
        return { contents: parts.join(to), loader: 'ts' };
      });
    },
  };
}

function write(found, seeds) {
  const rows = found.map(
    ({ what, file, seed, problem }) =>
      `| ${what} | \`${file}\` | ${seed ?? 'not found'} | ${problem?.split(':')[0] ?? ''} |`,
  );
  writeBetween('docs/simulation.md', 'planted-bugs', [
    '| bug | planted in | first seed that finds it | by the checker |',
    '|---|---|---:|---|',
    ...rows,
    '',
    `Seeds from 1 to at most ${seeds}, twins, commit ${commit()}, Node ${process.version}. Command: \`make sim-bugs ARGS=--write\`. Without a bug none of the ${seeds} seeds complains.`,
  ]);
}

function stop(message, code = 2) {
  console.error(`plant-bugs: ${message}`);
  process.exit(code);
}
