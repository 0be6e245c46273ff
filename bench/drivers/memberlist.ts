/**
 * Builds hashicorp/memberlist as a contender. Its functions are not exported, so its source is copied from Go's module cache to out/bench/ and
 * built there together with one file of ours; nothing of it is kept in the repository. go.mod pins the release.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync } from 'node:fs';

const MODULE = 'github.com/hashicorp/memberlist';
const HERE = 'bench/drivers/memberlist';
const OUT = 'out/bench/memberlist';

export interface GoBuild {
  /** '' where it could not be built; then `version` says why. */
  readonly binary: string;
  readonly version: string;
}

/** Takes some seconds the first time. */
export function buildMemberlist(): GoBuild {
  const version = spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' });
  if (version.status !== 0) return { binary: '', version: 'Go is not installed' };
  try {
    mkdirSync(OUT, { recursive: true });
    go(HERE, 'mod', 'download', MODULE);
    const found = JSON.parse(go(HERE, 'list', '-m', '-json', MODULE)) as { Dir: string; Version: string };
    const source = `${OUT}/source`;
    rmSync(source, { recursive: true, force: true });
    cpSync(found.Dir, source, { recursive: true, filter: (path) => !path.endsWith('_test.go') });
    // The module cache is read-only, and so are copies of it.
    execFileSync('chmod', ['-R', 'u+w', source]);
    cpSync(`${HERE}/_inside/bench.go`, `${source}/hearsay_bench.go`);
    for (const file of ['go.mod', 'go.sum', 'main.go']) cpSync(`${HERE}/${file}`, `${OUT}/${file}`);
    go(OUT, 'mod', 'edit', `-replace=${MODULE}=./source`);
    go(OUT, 'build', '-o', 'bench', '.');
    return { binary: `${OUT}/bench`, version: `memberlist ${found.Version} built with ${version.stdout.trim()}` };
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    return { binary: '', version: `memberlist does not build: ${(stderr || message).trim().split('\n')[0]}` };
  }
}

function go(cwd: string, ...args: string[]): string {
  return execFileSync('go', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
