// Reconciliation of replicated stores as a target: test/state/reconcile/hostile.ts does the work, bundled because Node 20 reads no TypeScript.
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { Counts, Finding, REASONS } from './targets.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const outfile = `${root}out/fuzz/hostile.mjs`;
await build({
  entryPoints: [`${root}test/state/reconcile/hostile.ts`],
  outfile,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
});
const { HostileConversations } = await import(pathToFileURL(outfile).href);

/** Damaged messages in conversations of every strategy. */
export class ReconcileTarget {
  name = 'reconcile';
  counts = new Counts();
  #hostile;

  constructor(seed) {
    this.#hostile = new HostileConversations(seed);
  }

  run() {
    for (let i = 0; i < 16; i++) {
      try {
        const { refused, input } = this.#hostile.run();
        this.counts.add(refused === undefined ? 0 : REASONS.indexOf(refused), input);
      } catch (error) {
        throw error.input === undefined ? error : new Finding(error.message, error.input);
      }
    }
    return 16;
  }
}
