// Everything that can be said about the sources without running them: types, lint and format, for both languages.
//
//   node scripts/check.mjs [--fix]
//
// The lint of C++ is the compiler: the addon is built with -Wall -Wextra -Werror (scripts/build-native.mjs).
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const fix = process.argv.includes('--fix');

const bin = (pkg, path) => join(dirname(require.resolve(`${pkg}/package.json`)), path);

function nativeSources(dir = 'native') {
  return readdirSync(join(root, dir), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.(cpp|hpp)$/.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

/** Runs one tool; resolves with what it said and whether it was content. */
function run(title, command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => resolve({ title, ok: false, output: String(error) }));
    child.on('close', (code) => resolve({ title, ok: code === 0, output }));
  });
}

/** The clang-format package ships binaries for few platforms; on others its check is skipped, visibly. */
async function clangFormat() {
  const command = bin('clang-format', 'index.js');
  const works = await run('', process.execPath, [command, '--version']);
  if (!works.ok) return { title: 'clang-format', ok: true, output: 'skipped: no binary for this platform\n' };
  const mode = fix ? ['-i'] : ['--dry-run', '-Werror'];
  return run('clang-format', process.execPath, [command, ...mode, ...nativeSources()]);
}

const tsc = bin('typescript', 'bin/tsc');
const biome = bin('@biomejs/biome', 'bin/biome');
const jobs = fix
  ? [() => run('biome', process.execPath, [biome, 'check', '--write', '--colors=off', '.']), clangFormat]
  : [
      () => run('types of src', process.execPath, [tsc, '--noEmit', '-p', '.']),
      () => run('types of tests', process.execPath, [tsc, '-p', 'tsconfig.test.json']),
      () => run('biome', process.execPath, [biome, 'ci', '--colors=off', '--error-on-warnings', '.']),
      clangFormat,
    ];

let failed = 0;
for (const result of await Promise.all(jobs.map((job) => job()))) {
  if (!result.ok) failed++;
  console.log(
    `${result.ok ? 'ok  ' : 'FAIL'} ${result.title}${result.output.startsWith('skipped') ? ` (${result.output.trim()})` : ''}`,
  );
  if (!result.ok) console.log(result.output.trimEnd());
}
process.exit(failed === 0 ? 0 : 1);
