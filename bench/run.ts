/**
 * `make bench`: every case in a process of its own, so that neither compiled code nor garbage of one case reaches the next.
 *
 *   node bench/main.mjs [--json FILE] [--write] [--filter TEXT]
 *
 * --json FILE    the results with the environment
 * --write        put the tables into docs/benchmarks.md, and the headlines into README.md
 * --filter TEXT  only cases whose "suite/name" contains TEXT (or the environment variable BENCH)
 * BENCH_SMOKE=1  the small cases only, once: shows that they run and that the engines agree; no numbers
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type CaseResult, MEASURE, measure, SMOKE } from './harness.ts';
import { environment, headlines, insertBetweenMarkers, report } from './report.ts';
import { HEADLINES, SUITES } from './suites.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    write: { type: 'boolean', default: false },
    filter: { type: 'string', default: process.env['BENCH'] ?? '' },
    case: { type: 'string' },
  },
});
const smoke = process.env['BENCH_SMOKE'] === '1';
const cases = SUITES.flatMap((suite) => suite.cases.map((test) => ({ id: `${suite.name}/${test.name}`, suite, test })));

if (values.case === undefined) runAll();
else runOne(values.case);

function runOne(id: string): void {
  const found = cases.find((each) => each.id === id);
  if (!found) throw new Error(`no case ${JSON.stringify(id)}`);
  process.stdout.write(JSON.stringify(measure(found.suite.name, found.test, smoke ? SMOKE : MEASURE)));
}

function runAll(): void {
  if (values.write && values.filter !== '') throw new Error('--write wants all cases: drop the filter');
  const chosen = cases.filter(({ id, test }) => id.includes(values.filter) && (!smoke || test.smoke === true));
  if (chosen.length === 0) throw new Error(`no case contains ${JSON.stringify(values.filter)}`);
  const where = environment(`make bench${values.filter === '' ? '' : ` BENCH=${values.filter}`}`);
  const results = chosen.map(({ id }) => {
    const output = execFileSync(process.execPath, [process.argv[1] as string, '--case', id], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const result = JSON.parse(output) as CaseResult;
    process.stderr.write(`${result.hash}  ${id}\n`);
    return result;
  });
  if (smoke) return;
  const tables = report(results, where);
  process.stdout.write(`\n${tables}`);
  if (values.json !== undefined) {
    writeFileSync(values.json, `${JSON.stringify({ environment: where, results }, null, 2)}\n`);
  }
  if (values.write) {
    if (results.some(({ timings }) => !timings.native))
      throw new Error('--write wants both engines: run `make native`');
    rewrite('docs/benchmarks.md', tables);
    rewrite('README.md', headlines(results, HEADLINES, where));
  }
}

function rewrite(path: string, table: string): void {
  writeFileSync(path, insertBetweenMarkers(readFileSync(path, 'utf8'), 'bench', table));
}
