// Entry of bench/state/strategies.ts, which has the options. Node 20 reads no TypeScript, so it is bundled first.
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('../..', import.meta.url));
process.chdir(root);
const outfile = `${root}out/bench/strategies.mjs`;
await build({
  entryPoints: ['bench/state/strategies.ts'],
  outfile,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
});
process.argv[1] = outfile;
await import(outfile);
