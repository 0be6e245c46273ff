// Runs the interoperability suites (test/interop) against real peers: memberlist nodes in a small Go program, and Debian's
// Serf agents. Prepares what they need, prints one line per scenario and ends with "N passed, N failed, N skipped".
//
//   node scripts/interop.mjs [suite...]     suites: memberlist, serf, mixed; default all
//     --no-build      use dist/ as it is
//     --baseline      real peers in our place: shows that the scenarios hold without us, and how long they take
//     --mixed-ms N    how long the mixed cluster is watched (default 120000)
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
const OUT = join(root, 'out', 'interop');
const PEER = join(root, 'test', 'interop', 'peer');
const SUITES = ['memberlist', 'serf', 'mixed'];
const CI = ['1', 'true'].includes(process.env.CI ?? '');

const options = parseArguments(process.argv.slice(2));
mkdirSync(OUT, { recursive: true });
if (!options.baseline) build();
/** What could not run here, and why: { suite, why, failed }. */
const absent = [];
const goPeer = wants('memberlist') || wants('mixed') || options.baseline ? buildPeer() : '';
const serf = wants('serf') ? findSerf() : '';
const results = runSuites();
process.exitCode = summarize(results);

function parseArguments(args) {
  const parsed = { suites: [], build: true, baseline: false, mixedMs: '120000' };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === '--no-build') parsed.build = false;
    else if (arg === '--baseline') parsed.baseline = true;
    else if (arg === '--mixed-ms') parsed.mixedMs = args[++i] ?? parsed.mixedMs;
    else if (SUITES.includes(arg)) parsed.suites.push(arg);
    else {
      console.error(`interop: unknown argument ${arg}; suites are ${SUITES.join(', ')}`);
      process.exit(2);
    }
  }
  if (parsed.suites.length === 0) parsed.suites = SUITES;
  return parsed;
}

function wants(suite) {
  return options.suites.includes(suite);
}

function note(text) {
  console.log(`interop: ${text}`);
}

function run(command, args, extra = {}) {
  return spawnSync(command, args, { stdio: 'inherit', ...extra });
}

/** The newest change below a directory, ms. */
function newest(dir, matches) {
  let latest = 0;
  for (const entry of readdirSync(dir, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile() || !matches(entry.name)) continue;
    latest = Math.max(latest, statSync(join(entry.parentPath, entry.name)).mtimeMs);
  }
  return latest;
}

/** The suites use the package as its users do, so dist/ must be there and up to date. */
function build() {
  if (!options.build) return;
  if (run(process.execPath, ['scripts/build.mjs']).status !== 0) {
    console.error('interop: dist/ could not be built');
    process.exit(1);
  }
}

/** Builds the Go program; '' when there is no Go here. */
function buildPeer() {
  const binary = join(OUT, process.platform === 'win32' ? 'peer.exe' : 'peer');
  const go = spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' });
  const have = go.status === 0 ? go.stdout.trim() : '';
  if (!have) {
    absent.push({ suite: 'memberlist', why: 'Go is not installed', failed: false });
    note('SKIPPED memberlist and mixed: Go is not installed, so no real memberlist node can be built');
    return '';
  }
  const sources = newest(PEER, (name) => /\.go$|^go\.(mod|sum)$/.test(name));
  if (existsSync(binary) && statSync(binary).mtimeMs > sources) return binary;
  note(`building the memberlist peer with ${have}`);
  const built = spawnSync('go', ['build', '-trimpath', '-o', binary, '.'], {
    cwd: PEER,
    stdio: ['ignore', 'inherit', 'pipe'],
    encoding: 'utf8',
    env: { ...process.env, CGO_ENABLED: '0' },
  });
  if (built.status === 0) return binary;
  process.stderr.write(built.stderr);
  rmSync(binary, { force: true });
  const tooOld = /requires go >= |unknown block type|invalid go version/.test(built.stderr);
  const offline = /dial tcp|no such host|i\/o timeout|proxyconnect|module lookup disabled/.test(built.stderr);
  const failed = !tooOld && (CI || !offline);
  const why = tooOld ? `${have} is too old` : offline ? 'no Go modules can be fetched' : 'the Go peer does not build';
  absent.push({ suite: 'memberlist', why, failed });
  note(`${failed ? 'FAILED' : 'SKIPPED'} memberlist and mixed: ${why}`);
  return '';
}

/** Path of the serf binary, installing it where that is possible; '' otherwise. */
function findSerf() {
  const found = which('serf');
  if (found) return found;
  if (process.getuid?.() === 0 && which('apt-get')) {
    note('installing serf');
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    run('apt-get', ['update', '-qq'], { env, stdio: 'ignore' });
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'serf'], { env, stdio: 'ignore' });
    const installed = which('serf');
    if (installed) return installed;
  }
  absent.push({ suite: 'serf', why: 'serf is not installed and could not be', failed: CI });
  note(`${CI ? 'FAILED' : 'SKIPPED'} serf: not installed; "apt-get install serf" provides it`);
  return '';
}

function which(name) {
  for (const dir of (process.env.PATH ?? '').split(':')) {
    const path = join(dir, name);
    if (dir && existsSync(path)) return path;
  }
  return '';
}

/** Runs one vitest per suite, one after the other, and collects what each test did. */
function runSuites() {
  const rows = [];
  for (const suite of options.suites) {
    if (suite === 'serf' ? !serf : !goPeer) continue;
    const file = join(OUT, `${suite}.json`);
    rmSync(file, { force: true });
    const env = {
      ...process.env,
      INTEROP_GO_PEER: goPeer,
      INTEROP_SERF: serf,
      INTEROP_BASELINE: options.baseline ? '1' : '',
      INTEROP_MIXED_MS: options.mixedMs,
    };
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const args = ['run', '--config', 'test/interop/vitest.config.ts', `test/interop/${suite}`];
    const status = run(
      process.execPath,
      [vitest, ...args, '--reporter=default', '--reporter=json', `--outputFile.json=${file}`],
      {
        env,
      },
    ).status;
    const tests = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).testResults : [];
    for (const { name, assertionResults, message } of tests) {
      for (const { ancestorTitles, title, status: result, duration } of assertionResults) {
        rows.push({ peer: ancestorTitles.join(' '), scenario: title, result, seconds: (duration ?? 0) / 1000 });
      }
      if (assertionResults.length === 0) {
        rows.push({
          peer: suite,
          scenario: `${relative(root, name)}: ${message.split('\n')[0]}`,
          result: 'failed',
          seconds: 0,
        });
      }
    }
    if (status !== 0 && !rows.some((row) => row.result === 'failed')) {
      rows.push({ peer: suite, scenario: 'the suite itself', result: 'failed', seconds: 0 });
    }
  }
  return rows;
}

/** Prints the table and the last line; returns the exit code. */
function summarize(rows) {
  for (const { suite, why, failed } of absent) {
    rows.push({ peer: suite, scenario: `(all) ${why}`, result: failed ? 'failed' : 'skipped', seconds: 0 });
    if (suite === 'memberlist' && wants('mixed')) {
      rows.push({ peer: 'mixed cluster', scenario: `(all) ${why}`, result: failed ? 'failed' : 'skipped', seconds: 0 });
    }
  }
  const label = { passed: 'passed', failed: 'FAILED' };
  const width = Math.max(...rows.map((row) => row.peer.length), 4);
  console.log(`\n${'peer'.padEnd(width)}  result   seconds  scenario`);
  for (const { peer, scenario, result, seconds } of rows) {
    const mark = (label[result] ?? 'skipped').padEnd(7);
    console.log(`${peer.padEnd(width)}  ${mark}  ${seconds.toFixed(2).padStart(7)}  ${scenario}`);
  }
  const count = (result) => rows.filter((row) => row.result === result).length;
  const [passed, failed] = [count('passed'), count('failed')];
  console.log(`\n${passed} passed, ${failed} failed, ${rows.length - passed - failed} skipped`);
  return failed > 0 || passed === 0 ? 1 : 0;
}
