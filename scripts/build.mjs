// Builds dist/: ES modules and types with tsc, and the CommonJS entry from them.
//
//   node scripts/build.mjs
//
// Node 20.17 cannot require() an ES module, so dist/cjs/index.cjs is one bundle of all modules. Files that are found by
// address (the worker's entry, the addon) stay those of dist/: in the bundle `import.meta.url` keeps naming the module
// that it came from, so both entries start the same worker and load the same addon.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const stamp = join(dist, '.built');

function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

const inputs = ['src', 'package.json', 'tsconfig.json', 'scripts/build.mjs'].map((name) => join(root, name));
const fresh = existsSync(stamp) && inputs.every((path) => newest(path) <= statSync(stamp).mtimeMs);
if (fresh && !process.argv.includes('--force')) process.exit(0);

const began = new Date();
const tsc = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.'], {
  cwd: root,
  stdio: 'inherit',
});
if (tsc.status !== 0) process.exit(tsc.status ?? 1);

const moduleUrls = {
  name: 'import-meta-url',
  setup(plugin) {
    plugin.onLoad({ filter: /\.js$/ }, ({ path }) => {
      if (!path.startsWith(dist + sep)) return undefined;
      const fromBundle = relative(join(dist, 'cjs'), path).split(sep).join('/');
      const url = `moduleUrl(${JSON.stringify(fromBundle)})`;
      return { contents: readFileSync(path, 'utf8').replaceAll('import.meta.url', url), loader: 'js' };
    });
  },
};

await build({
  entryPoints: { index: join(dist, 'index.js'), sim: join(dist, 'sim', 'index.js') },
  outdir: join(dist, 'cjs'),
  outExtension: { '.js': '.cjs' },
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20.17',
  packages: 'external',
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
  plugins: [moduleUrls],
  banner: {
    js: "const moduleUrl = (path) => require('node:url').pathToFileURL(require('node:path').join(__dirname, path)).href;",
  },
});

// Declarations keep the `.ts` of their imports: give them the names of what lies in dist/. And the types of the CommonJS entry: the
// same declarations as CommonJS modules, so that no consumer's setting sees an ES module.
const renamed = (text, extension) =>
  text.replace(/((?:from|import)\s*\(?\s*['"]\.[^'"]*)\.ts(['"])/g, `$1${extension}$2`);
for (const entry of readdirSync(dist, { withFileTypes: true, recursive: true })) {
  const path = join(entry.parentPath ?? entry.path, entry.name);
  if (!entry.name.endsWith('.d.ts')) continue;
  const target = join(dist, 'cjs', relative(dist, path).replace(/\.d\.ts$/, '.d.cts'));
  const text = readFileSync(path, 'utf8');
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, renamed(text, '.cjs'));
  writeFileSync(path, renamed(text, '.js'));
}
// What no source made this time belongs to a module that is gone. (Nothing is removed before: programs may be running from dist/.)
for (const entry of readdirSync(dist, { withFileTypes: true, recursive: true })) {
  const path = join(entry.parentPath ?? entry.path, entry.name);
  if (entry.isFile() && statSync(path).mtimeMs < began.getTime() - 1) rmSync(path);
}
writeFileSync(stamp, '');
utimesSync(stamp, began, began); // a source saved while we built is newer
console.log(`dist: built in ${((Date.now() - began.getTime()) / 1000).toFixed(1)} s`);
