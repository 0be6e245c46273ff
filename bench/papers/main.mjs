// Entry of `make papers`. Bundled first, because Node 20 reads no TypeScript; bench/papers/run.ts has the options.
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('../..', import.meta.url));
process.chdir(root);
// Two levels below the root, like src/kernels/: the addon is looked up from there.
const outdir = `${root}out/papers`;
await build({
  entryPoints: { run: 'bench/papers/run.ts', worker: 'bench/papers/worker.ts' },
  outdir,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  packages: 'external',
  // Finds the root from where it lies; the same relative path leads to it from there and from here.
  external: ['../../scripts/markers.mjs'],
  format: 'esm',
  platform: 'node',
  target: 'node20',
});
await import(`${outdir}/run.mjs`);
