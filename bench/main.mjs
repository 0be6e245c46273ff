// Entry of `make bench`. The benchmarks are TypeScript and Node 20 reads none, so they are bundled first; bench/run.ts has the options.
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
// Two levels below the root, like src/kernels/: the addon is looked up from there.
const outfile = `${root}out/bench/run.mjs`;
await build({ entryPoints: ['bench/run.ts'], outfile, bundle: true, format: 'esm', platform: 'node', target: 'node20' });
process.argv[1] = outfile;
await import(outfile);
