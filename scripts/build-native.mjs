// Builds the addon: cmake-js first, node-gyp where cmake is missing, and without a compiler the pure-TypeScript twins serve.
//
//   node scripts/build-native.mjs [--force] [--with cmake|gyp] [--verbose] [--stage | --unstage]
//
// --stage puts the result where the npm package carries it (prebuilds/), --unstage takes it away again.
// Each way has its own folder (out/cmake, build), nothing is downloaded, and nothing is rebuilt while no source is newer
// than the result: the addon is plain Node-API, so one file serves every Node.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const args = process.argv.slice(2);
const verbose = args.includes('--verbose');
const only = args.includes('--with') ? args[args.indexOf('--with') + 1] : undefined;

const RESULTS = {
  cmake: join(root, 'out', 'cmake', 'Release', 'hearsay.node'),
  // node-gyp always builds into build/, cmake-js is told to stay out of it.
  gyp: join(root, 'build', 'Release', 'hearsay.node'),
};

function newestSource() {
  let newest = 0;
  const visit = (path) => {
    const stat = statSync(path);
    if (stat.isDirectory()) for (const name of readdirSync(path)) visit(join(path, name));
    else newest = Math.max(newest, stat.mtimeMs);
  };
  for (const part of [
    'native/addon.cpp',
    'native/binding',
    'native/kernels',
    'native/io',
    'CMakeLists.txt',
    'binding.gyp',
  ]) {
    if (existsSync(join(root, part))) visit(join(root, part));
  }
  return newest;
}

const isFresh = (file, newest) => existsSync(file) && statSync(file).mtimeMs >= newest;

function run(command, commandArgs) {
  const done = spawnSync(command, commandArgs, { cwd: root, encoding: 'utf8', stdio: verbose ? 'inherit' : 'pipe' });
  return { ok: done.status === 0, output: `${done.stdout ?? ''}${done.stderr ?? ''}${done.error?.message ?? ''}` };
}

function cmake() {
  if (!run('cmake', ['--version']).ok) return { ok: false, output: '' };
  const bin = require.resolve('cmake-js/bin/cmake-js');
  // The environment may set CMAKE_GENERATOR; both Make and Ninja serve.
  return run(process.execPath, [bin, 'compile', '--out', join(root, 'out', 'cmake'), '--log-level', 'info']);
}

function gyp() {
  const bin = require.resolve('node-gyp/bin/node-gyp.js');
  // The headers that came with this Node; without --nodedir node-gyp would download them.
  const prefix = resolve(dirname(process.execPath), '..');
  const nodedir = existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : [];
  return run(process.execPath, [bin, 'rebuild', ...nodedir]);
}

const staged = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'hearsay.node');
function finish(file) {
  if (args.includes('--stage')) {
    mkdirSync(dirname(staged), { recursive: true });
    copyFileSync(file, staged);
  }
  process.exit(0);
}
if (args.includes('--unstage')) {
  rmSync(join(root, 'prebuilds'), { recursive: true, force: true });
  process.exit(0);
}

const newest = newestSource();
if (!args.includes('--force') && !only) {
  const fresh = Object.values(RESULTS).find((file) => isFresh(file, newest));
  if (fresh) finish(fresh);
}

const failures = [];
for (const [name, build] of Object.entries({ cmake, gyp })) {
  if (only && only !== name) continue;
  const began = new Date();
  const started = performance.now();
  const result = build();
  if (result.ok && existsSync(RESULTS[name])) {
    utimesSync(RESULTS[name], began, began); // a source saved while we built is newer
    for (const [other, file] of Object.entries(RESULTS))
      if (other !== name && !isFresh(file, newest)) rmSync(file, { force: true });
    console.log(`native: built with ${name} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    finish(RESULTS[name]);
  }
  failures.push({ name, ...result });
}

// A broken source must not look like a missing compiler: whoever has the tools sees what they said, and CI fails.
let broken = false;
for (const { name, output } of failures) {
  const said = output
    .split('\n')
    .filter((line) => /: (fatal )?error: |: error C\d+|undefined reference|CMake Error/.test(line));
  if (said.length > 0) console.error(`native: ${name} failed:\n${said.slice(0, 20).join('\n')}`);
  broken ||= said.some((line) => line.includes('native/'));
}
for (const file of Object.values(RESULTS)) if (!isFresh(file, newest)) rmSync(file, { force: true });
console.log(
  'native: no addon could be built (a C++20 compiler with cmake, or make and python3, is needed): the pure-TypeScript twins serve',
);
process.exit(process.env.HEARSAY_BACKEND === 'native' || (broken && process.env.CI) ? 1 : 0);
