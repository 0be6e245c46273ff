// `make fuzz-native`: every fuzz target of the C++ kernels (native/test/fuzz_*.cpp) under AddressSanitizer and
// UndefinedBehaviorSanitizer, with libFuzzer where clang is there, else with the mutator of native/test/fuzz.hpp and g++.
//
//   node scripts/fuzz-native.mjs [--seconds 60] [--seed 1] [--only lzw,interner] [--engine libfuzzer|plain|quick] [--coverage]
//
// First replays native/test/regressions/<target>/*, then fuzzes for that many seconds per target. Inputs that reach new code
// are kept in out/fuzz/corpus/<target> and are where the next run starts; a target without any starts from test/vectors. A
// finding is saved as a regression file and makes the exit code 1; no compiler makes it 2. --coverage adds how much of the
// kernel the corpus reaches, in lines (clang, llvm-profdata and llvm-cov). --engine quick is what the tests use: built without
// optimization, and again only when a source is newer; it starts from test/vectors each time.
import { spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DICTIONARY, seedsOf } from './fuzz/native-corpus.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = join(root, 'native', 'test');
const out = join(root, 'out', 'fuzz');

const FLAGS = '-std=c++20 -g -Wall -Wextra -Werror -fno-omit-frame-pointer -fno-sanitize-recover=all'.split(' ');
const SANITIZED = '-fsanitize=address,undefined';
const CXX = process.env.CXX || 'g++';
/** Tried in this order. A compiler whose sanitizers are not installed still runs what the targets check themselves. */
const ENGINES = [
  {
    name: 'libfuzzer',
    compiler: 'clang++',
    flags: ['-O1', '-fsanitize=fuzzer,address,undefined', '-DHEARSAY_LIBFUZZER'],
  },
  { name: 'plain', compiler: CXX, flags: ['-O1', SANITIZED] },
  { name: 'plain', compiler: CXX, flags: ['-O1'] },
  { name: 'quick', compiler: 'clang++', flags: ['-O0', SANITIZED] },
  { name: 'quick', compiler: CXX, flags: ['-O0', SANITIZED] },
  { name: 'quick', compiler: CXX, flags: ['-O0'] },
];

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    engine: { type: 'string' },
    coverage: { type: 'boolean', default: false },
  },
});
const seconds = number('seconds');
const seed = number('seed');

const all = readdirSync(sources)
  .map((file) => /^fuzz_(.*)\.cpp$/.exec(file)?.[1])
  .filter((name) => name !== undefined)
  .sort();
const targets = values.only?.split(',') ?? all;
for (const name of targets) if (!all.includes(name)) stop(`--only: expected some of ${all.join(', ')}, got ${name}`);

const engine = chooseEngine();
console.log(
  `fuzz-native: ${engine.name}, ${engine.compiler} ${engine.flags.join(' ')}, ${seconds} s per target, seed ${seed}`,
);
let found = 0;
for (const name of targets) if (!(await fuzz(name))) found++;
if (values.coverage) coverage();
if (found > 0) {
  console.log(
    `fuzz-native: ${found} with findings. Each is now a file in native/test/regressions: fix the kernel (C++ and twin alike) until\n` +
      'it passes, keep the file, and add a unit test that shows the bug on both engines.',
  );
}
process.exitCode = found > 0 ? 1 : 0;

function stop(message) {
  console.error(`fuzz-native: ${message}`);
  process.exit(2);
}

function number(name) {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < 0 || value > 2 ** 31)
    stop(`--${name}: expected an integer, got ${values[name]}`);
  return value;
}

/** The first that can build and run an empty program. */
function chooseEngine() {
  const asked = values.engine;
  const names = [...new Set(ENGINES.map(({ name }) => name))];
  if (asked !== undefined && !names.includes(asked)) stop(`--engine: expected ${names.join(', ')}, got ${asked}`);
  mkdirSync(out, { recursive: true });
  const folder = mkdtempSync(join(out, 'probe-'));
  const source = join(folder, 'probe.cpp');
  const binary = join(folder, 'probe');
  try {
    for (const candidate of ENGINES) {
      if (asked !== undefined && candidate.name !== asked) continue;
      const isFuzzer = candidate.name === 'libfuzzer';
      writeFileSync(
        source,
        isFuzzer
          ? 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }\n'
          : 'int main() {}\n',
      );
      const built = spawnSync(candidate.compiler, [...FLAGS, ...candidate.flags, source, '-o', binary]);
      if (built.status === 0 && spawnSync(binary, isFuzzer ? ['-runs=0'] : []).status === 0) return candidate;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return stop('no C++20 compiler that works (clang with libFuzzer, or g++)');
}

/** Newest of the sources that a target may include. */
function newestSource() {
  const files = ['native/kernels', 'native/test'].flatMap((folder) =>
    readdirSync(join(root, folder)).map((file) => join(root, folder, file)),
  );
  return Math.max(...files.map((file) => statSync(file)).map((stat) => (stat.isFile() ? stat.mtimeMs : 0)));
}

function build(name) {
  const binary = join(out, `${name}-${engine.name}`);
  if (engine.name === 'quick' && existsSync(binary) && statSync(binary).mtimeMs > newestSource()) return binary;
  const done = spawnSync(
    engine.compiler,
    [...FLAGS, ...engine.flags, join(sources, `fuzz_${name}.cpp`), '-o', `${binary}.${process.pid}`],
    { encoding: 'utf8' },
  );
  if (done.status !== 0) stop(`${name} does not compile:\n${done.stderr ?? done.error}`);
  renameSync(`${binary}.${process.pid}`, binary);
  return binary;
}

/** What the corpus starts from. */
function prepare(name) {
  const corpus = join(out, engine.name === 'quick' ? 'seeds' : 'corpus', name);
  if (engine.name === 'quick') rmSync(corpus, { recursive: true, force: true });
  mkdirSync(corpus, { recursive: true });
  if (readdirSync(corpus).length === 0) {
    let count = 0;
    for (const bytes of seedsOf(name)) writeFileSync(join(corpus, `seed-${String(count++).padStart(4, '0')}`), bytes);
  }
  return corpus;
}

/** Runs one target and prints its line; false when it found something. */
async function fuzz(name) {
  const binary = build(name);
  const corpus = prepare(name);
  const regressions = join(sources, 'regressions', name);
  const known = filesIn(regressions);
  const artifacts = `${join(out, 'found', name)}-`;
  mkdirSync(join(out, 'found'), { recursive: true });

  const broken = known.filter((file) => !replays(binary, file));
  if (broken.length > 0) {
    line(name, { result: `FOUND again: ${broken.map((file) => relative(root, file)).join(', ')}` });
    return false;
  }
  const before = new Set(readdirSync(join(out, 'found')));
  const { code, output } = await run(binary, runArguments(corpus, artifacts));
  writeFileSync(join(out, `${name}.log`), output);
  const findings = readdirSync(join(out, 'found')).filter((file) => file.startsWith(`${name}-`) && !before.has(file));
  if (code === 0) {
    line(name, { ...figures(output), regressions: known.length, result: 'nothing found' });
    return true;
  }
  mkdirSync(regressions, { recursive: true });
  for (const file of findings) cpSync(join(out, 'found', file), join(regressions, file.slice(name.length + 1)));
  line(name, { ...figures(output), regressions: known.length, result: 'FOUND' });
  const saved = findings.map((file) => relative(root, join(regressions, file.slice(name.length + 1))));
  console.log(
    `  saved: ${saved.join(', ') || 'no input (see the log)'}; log: ${relative(root, join(out, `${name}.log`))}`,
  );
  console.log(`  ${/(ERROR: .*|.*runtime error: .*|fuzz: does not hold.*)/.exec(output)?.[1] ?? 'see the log'}`);
  return false;
}

function replays(binary, file) {
  const args = engine.name === 'libfuzzer' ? [file] : ['--seconds', '0', file];
  return spawnSync(binary, args, { env: environment() }).status === 0;
}

function runArguments(corpus, artifacts) {
  if (engine.name !== 'libfuzzer')
    return ['--seconds', seconds, '--seed', seed, '--artifacts', artifacts, ...filesIn(corpus)].map(String);
  const dictionary = join(out, 'keys.dict');
  writeFileSync(dictionary, DICTIONARY);
  return [
    `-max_total_time=${seconds}`,
    `-seed=${seed}`,
    `-artifact_prefix=${artifacts}`,
    `-dict=${dictionary}`,
    '-max_len=4096',
    '-timeout=10',
    '-rss_limit_mb=1024',
    '-use_value_profile=1',
    '-print_final_stats=1',
    corpus,
  ];
}

function filesIn(folder) {
  return existsSync(folder) ? readdirSync(folder).map((file) => join(folder, file)) : [];
}

function environment() {
  return {
    ...process.env,
    UBSAN_OPTIONS: 'print_stacktrace=1',
    ASAN_OPTIONS: 'detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1',
  };
}

function run(binary, args) {
  return new Promise((resolve) => {
    const child = spawn(binary, args, { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
    // Of a long run only the beginning (counters) and the end matter.
    let head = '';
    let tail = '';
    const take = (chunk) => {
      if (head.length < 4096) head += chunk;
      else tail = (tail + chunk).slice(-60_000);
    };
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    child.on('close', (code) => resolve({ code, output: `${head}${tail}` }));
  });
}

/** What the engine says about its work. */
function figures(output) {
  const last = (pattern) => [...output.matchAll(pattern)].at(-1)?.[1];
  return {
    executions: last(/stat::number_of_executed_units:\s*(\d+)/g) ?? last(/: (\d+) inputs/g),
    edges: last(/ cov: (\d+)/g),
    edgesAll: last(/inline 8-bit counters\): \d+ modules? \((\d+)/g) ?? last(/\((\d+) inline 8-bit counters\)/g),
    features: last(/ ft: (\d+)/g),
    inputs: last(/ corp: (\d+)/g),
  };
}

function line(name, { executions, edges, edgesAll, features, inputs, regressions = 0, result }) {
  const count = (value) => Number(value ?? 0).toLocaleString('en-US');
  const parts = [`${count(executions)} executions`];
  if (edges !== undefined)
    parts.push(`${edges}${edgesAll ? ` of ${edgesAll}` : ''} edges, ${count(features)} features, corpus ${inputs}`);
  parts.push(`${regressions} regressions`, result);
  console.log(`${name.padEnd(16)} ${parts.join(', ')}`);
}

/** Lines of each kernel file that the corpus of any target reaches. */
function coverage() {
  const flags = ['-std=c++20', '-O1', '-g', '-fprofile-instr-generate', '-fcoverage-mapping'];
  const binaries = [];
  const profiles = [];
  for (const name of targets) {
    const binary = join(out, `${name}-coverage`);
    const built = spawnSync('clang++', [...flags, join(sources, `fuzz_${name}.cpp`), '-o', binary], {
      encoding: 'utf8',
    });
    if (built.status !== 0) stop(`--coverage needs clang:\n${built.stderr}`);
    const profile = join(out, `${name}.profraw`);
    rmSync(profile, { force: true });
    const env = { ...process.env, LLVM_PROFILE_FILE: profile };
    spawnSync(binary, ['--seconds', '0', ...filesIn(join(out, 'corpus', name))], { env });
    binaries.push(binary);
    profiles.push(profile);
  }
  const merged = join(out, 'all.profdata');
  spawnSync('llvm-profdata', ['merge', '-sparse', ...profiles, '-o', merged]);
  const objects = binaries.flatMap((binary, i) => (i === 0 ? [binary] : ['-object', binary]));
  const report = spawnSync(
    'llvm-cov',
    ['report', ...objects, `-instr-profile=${merged}`, '-ignore-filename-regex=native/test|/usr/', '-show-functions=0'],
    { encoding: 'utf8' },
  );
  if (report.status !== 0) stop(`llvm-cov: ${report.stderr}`);
  console.log('\nlines of the kernels that the corpora reach:');
  for (const row of report.stdout.split('\n')) {
    const cells = row.trim().split(/\s+/);
    if (!/\.hpp$|^TOTAL$/.test(cells[0])) continue;
    const [, , , , , , , lines, missed, percent] = cells;
    console.log(`  ${cells[0].padEnd(24)} ${String(lines - missed).padStart(5)} of ${lines.padStart(5)}  ${percent}`);
  }
}
