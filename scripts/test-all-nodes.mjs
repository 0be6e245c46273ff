// Runs the whole test suite under each supported Node. One that is not at hand is fetched by `npx node@<major>` into npm's cache.
//
//   node scripts/test-all-nodes.mjs [--only 22] [vitest arguments]
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const LIMIT_MS = 10 * 60_000;
const args = process.argv.slice(2);
const onlyAt = args.indexOf('--only');
const majors = onlyAt < 0 ? [20, 22, 24] : [Number(args[onlyAt + 1])];
if (onlyAt >= 0) args.splice(onlyAt, 2);

const failed = [];
for (const major of majors) {
  const running = Number(process.versions.node.split('.')[0]) === major;
  const vitest = ['node_modules/vitest/vitest.mjs', 'run', ...args];
  const [command, commandArgs] = running
    ? [process.execPath, vitest]
    : ['npx', ['-y', '-p', `node@${major}`, '--', 'node', ...vitest]];
  console.log(`\n=== Node ${major} ===`);
  const done = spawnSync(command, commandArgs, { cwd: root, stdio: 'inherit', timeout: LIMIT_MS });
  if (done.status !== 0) failed.push(`Node ${major}: ${done.error?.message ?? `exit ${done.status ?? done.signal}`}`);
}
console.log(failed.length === 0 ? `\nall green on Node ${majors.join(', ')}` : `\nFAILED: ${failed.join('; ')}`);
process.exit(failed.length === 0 ? 0 : 1);
