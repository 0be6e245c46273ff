/**
 * `make papers`: published numbers beside ours.
 *
 *   node bench/papers/main.mjs [--only NAME] [--small] [--json FILE] [--write]
 *
 * --only NAME   one experiment (or the environment variable PAPER)
 * --small       few repetitions, as in the test suite; figures are rough
 * --json FILE   rows and series of all that ran
 * --write       put the tables into docs/papers.md and rows and series for the diagrams into docs/data/papers.json
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import pc from 'picocolors';
import { Piscina } from 'piscina';
import { methodLine, writeBetween } from '../../scripts/markers.mjs';
import type { AnyExperiment, Report, Scale } from './experiment.ts';
import { EXPERIMENTS, experimentOf } from './experiments.ts';
import { table } from './table.ts';

const { values } = parse();
const scale: Scale = values.small ? 'small' : 'full';
if (values.write && values.small) refuse('--write wants the full figures: drop --small');
if (values.only !== '' && !EXPERIMENTS.some(({ name }) => name === values.only)) {
  refuse(`expected one of ${EXPERIMENTS.map(({ name }) => name).join(', ')}, got ${JSON.stringify(values.only)}`);
}
const chosen = values.only === '' ? EXPERIMENTS : [experimentOf(values.only)];
const command = `make papers${values.only === '' ? '' : ` PAPER=${values.only}`}`;
const threads = availableParallelism();
const pool = new Piscina({
  filename: fileURLToPath(new URL('worker.mjs', import.meta.url)),
  minThreads: threads,
  maxThreads: threads,
});
const stop = (): void => {
  process.stderr.write('\ninterrupted\n');
  process.exit(130);
};
process.once('SIGINT', stop);

const done: { readonly name: string; readonly title: string; readonly seconds: number; readonly report: Report }[] = [];
let misses = 0;
for (const experiment of chosen) done.push(await run(experiment));
await pool.destroy();
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify({ where: methodLine(command), done }, null, 1)}\n`);
const total = done.reduce((sum, { report }) => sum + report.rows.length, 0);
process.stdout.write(`${total - misses} of ${total} rows pass\n`);

function parse() {
  try {
    return parseArgs({
      options: {
        only: { type: 'string', default: process.env['PAPER'] ?? '' },
        small: { type: 'boolean', default: false },
        json: { type: 'string' },
        write: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return refuse((error as Error).message);
  }
}

function refuse(problem: string): never {
  process.stderr.write(`papers: ${problem}\n`);
  process.exit(2);
}

async function run(experiment: AnyExperiment): Promise<(typeof done)[number]> {
  const fromMs = performance.now();
  process.stdout.write(`${pc.bold(experiment.title)}  ${pc.dim(experiment.source)}\n`);
  const { name, title } = experiment;
  const jobs = experiment.jobs(scale);
  const results = await Promise.all(jobs.map((job) => pool.run({ name, job })));
  const report = experiment.report(results as never, scale);
  const seconds = Math.round((performance.now() - fromMs) / 100) / 10;
  for (const { what, published, measured, tolerance, isPass } of report.rows) {
    if (!isPass) misses++;
    const verdict = isPass ? pc.green('pass') : pc.red('miss');
    process.stdout.write(
      `  ${verdict}  ${what.padEnd(66)} ${measured.padStart(10)}  published ${published} (${tolerance})\n`,
    );
  }
  for (const line of report.lines ?? []) process.stdout.write(`  ${line}\n`);
  process.stdout.write(pc.dim(`  ${jobs.length} jobs in ${seconds} s\n\n`));
  if (values.write) {
    const where = methodLine(`make papers PAPER=${name}`);
    writeBetween('docs/papers.md', `papers:${name}`, [...table(experiment, report), '', `${where} ${seconds} s.`]);
    keep(name, { where, rows: report.rows, data: report.data });
  }
  return { name, title, seconds, report };
}

/** Replaces what an earlier run left of this experiment. One line each, so that a difference shows which one changed. */
function keep(
  name: string,
  entry: { readonly where: string; readonly rows: Report['rows']; readonly data: unknown },
): void {
  mkdirSync('docs/data', { recursive: true });
  const path = 'docs/data/papers.json';
  const before = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>) : {};
  const after: Record<string, unknown> = { ...before, [name]: entry };
  const lines = EXPERIMENTS.filter((each) => after[each.name] !== undefined).map(
    (each) => `${JSON.stringify(each.name)}: ${JSON.stringify(after[each.name])}`,
  );
  writeFileSync(path, `{\n${lines.join(',\n')}\n}\n`);
}
