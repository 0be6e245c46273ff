/**
 * `make bench`: every case in a process of its own, so that neither compiled code nor garbage of one case reaches the next. First the
 * comparison with what one would use instead ("versus/..."), then the kernels one by one.
 *
 *   node bench/main.mjs [--json FILE] [--write] [--filter TEXT]
 *
 * --json FILE    the results with the environment
 * --write        put the tables into docs/benchmarks.md, and the comparison into README.md
 * --filter TEXT  only cases whose "suite/name" contains TEXT (or the environment variable BENCH)
 * BENCH_SMOKE=1  the small cases only, once: shows that they run and that the engines agree; no numbers
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { buildBandwidth } from './drivers/bandwidth.ts';
import { buildMemberlist } from './drivers/memberlist.ts';
import { type CaseResult, MEASURE, measure, SMOKE } from './harness.ts';
import { environment, insertBetweenMarkers, report, setting } from './report.ts';
import { SUITES } from './suites.ts';
import { VERSUS } from './versus/cases.ts';
import { makeInputs, writeInputs } from './versus/inputs.ts';
import { measureVersus, type Programs, type VersusResult } from './versus/measure.ts';
import { versusReport } from './versus/report.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    write: { type: 'boolean', default: false },
    filter: { type: 'string', default: process.env['BENCH'] ?? '' },
    case: { type: 'string' },
    programs: { type: 'string', default: '' },
  },
});
const smoke = process.env['BENCH_SMOKE'] === '1';
const cases = SUITES.flatMap((suite) => suite.cases.map((test) => ({ id: `${suite.name}/${test.name}`, suite, test })));

const INPUTS = 'out/bench/inputs';
const VERSUS_PREFIX = 'versus/';

if (values.case === undefined) runAll();
else await runOne(values.case);

async function runOne(id: string): Promise<void> {
  const options = smoke ? SMOKE : MEASURE;
  const test = VERSUS.find((each) => VERSUS_PREFIX + each.id === id);
  const found = cases.find((each) => each.id === id);
  let result: CaseResult | VersusResult;
  if (test) result = await measureVersus(test, JSON.parse(values.programs) as Programs, options);
  else if (found) result = measure(found.suite.name, found.test, options);
  else throw new Error(`no case ${JSON.stringify(id)}`);
  process.stdout.write(JSON.stringify(result));
}

function runAll(): void {
  if (values.write && values.filter !== '') throw new Error('--write wants all cases: drop the filter');
  const versus = VERSUS.map(({ id }) => VERSUS_PREFIX + id).filter((id) => id.includes(values.filter) && !smoke);
  const chosen = cases.filter(({ id, test }) => id.includes(values.filter) && (!smoke || test.smoke === true));
  if (chosen.length + versus.length === 0) throw new Error(`no case contains ${JSON.stringify(values.filter)}`);
  const where = environment(`make bench${values.filter === '' ? '' : ` BENCH=${values.filter}`}`);
  const compared = versus.length === 0 ? undefined : compare(versus);
  const results = chosen.map(({ id }) => {
    const result = inChild(id) as CaseResult;
    process.stderr.write(`${result.hash}  ${id}\n`);
    return result;
  });
  if (smoke) return;
  const head = setting(where, compared?.memberlist ?? '').join('\n');
  const comparison = versusReport(compared?.results ?? []);
  const tables = report(results);
  process.stdout.write(`\n${[head, ...(compared ? [comparison] : []), tables].join('\n\n')}`);
  if (values.json !== undefined) {
    const content = { environment: where, memberlist: compared?.memberlist, versus: compared?.results, results };
    writeFileSync(values.json, `${JSON.stringify(content, null, 2)}\n`);
  }
  if (values.write) {
    if (results.some(({ timings }) => !timings.native))
      throw new Error('--write wants both engines: run `make native`');
    rewrite('README.md', `${comparison}\n\n${head}`);
    rewrite('docs/benchmarks.md', `${head}\n\n${comparison}\n\n${tables}`);
  }
}

/** All comparisons; what is not at hand is skipped aloud. */
function compare(ids: readonly string[]): { memberlist: string; results: VersusResult[] } {
  writeInputs(makeInputs(), INPUTS);
  const memberlist = buildMemberlist();
  if (memberlist.binary === '') process.stderr.write(`SKIPPED the memberlist column: ${memberlist.version}\n`);
  const bandwidth = buildBandwidth();
  if (bandwidth === '') process.stderr.write('SKIPPED the memory read column: no C++ compiler\n');
  const programs: Programs = { memberlist: memberlist.binary, bandwidth, inputs: INPUTS };
  const results = ids.map((id) => {
    const result = inChild(id, '--programs', JSON.stringify(programs)) as VersusResult;
    process.stderr.write(`${result.view}  ${id}\n`);
    return result;
  });
  return { memberlist: memberlist.binary === '' ? '' : memberlist.version, results };
}

function inChild(id: string, ...args: string[]): unknown {
  const output = execFileSync(process.execPath, [process.argv[1] as string, '--case', id, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(output);
}

function rewrite(path: string, table: string): void {
  writeFileSync(path, insertBetweenMarkers(readFileSync(path, 'utf8'), 'bench', table));
}
