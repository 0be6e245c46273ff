// The commands as people run them: child processes of dist/. `make test` builds it first.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(
  args: readonly string[],
  onOutput?: (out: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, NO_COLOR: '1' } });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += String(chunk);
      onOutput?.(out, (signal) => child.kill(signal));
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += String(chunk);
    });
    child.on('close', (code) => resolve({ code, out, err }));
  });
}

describe('the command line', () => {
  it('says what there is and how to use it', async () => {
    const { code, out } = await run(['--help']);
    expect(code).toBe(0);
    for (const command of ['gossip', 'membership']) expect(out).toContain(command);
    const help = await run(['gossip', '--help']);
    expect(help.code).toBe(0);
    for (const flag of ['--nodes', '--profile', '--loss', '--seed', '--json', '--quiet'])
      expect(help.out).toContain(flag);
  });

  it('answers a wrong argument with one line and code 2', async () => {
    for (const args of [
      ['gossip', '--nodes', '2'],
      ['gossip', '--nodes', 'many'],
      ['gossip', '--loss', '150%'],
      ['gossip', '--profile', 'mars'],
      ['gossip', '--wrong'],
      ['gossip', 'surplus'],
      ['membership', '--seed', '-1'],
      ['loadtest', '--kill', '1.5'],
      ['loadtest', '--kill', '1', '--loss', '5%'],
      ['loadtest', '--simulate', '--udp', 'dgram'],
      ['loadtest', '--html', 'no-such-directory/report.html'],
      ['gosip'],
    ]) {
      const { code, out, err } = await run(args);
      expect({ args, code, out }).toEqual({ args, code: 2, out: '' });
      expect(err).toMatch(/^hearsay: [^\n]+\n$/);
    }
  });
});

describe('hearsay gossip', () => {
  it('runs a cluster through joining, rumor, crash and recovery, and writes what it measured', async () => {
    const { code, out, err } = await run([
      'gossip',
      '--nodes',
      '12',
      '--profile',
      'local',
      '--seed',
      '3',
      '--json',
      '-',
    ]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const record = JSON.parse(out) as {
      ok: boolean;
      results: Record<string, { measured: number | null; predicted: number }>;
      rumorTimesMs: number[];
    };
    expect(record.ok).toBe(true);
    for (const [key, { measured }] of Object.entries(record.results)) {
      if (!key.startsWith('rumor')) expect({ key, measured }).not.toEqual({ key, measured: null });
    }
    expect(record.results['wronglyDead']).toEqual({ unit: 'members', measured: 0, predicted: 0 });
    expect(record.rumorTimesMs.toSorted((x, y) => x - y)).toEqual(record.rumorTimesMs);
  }, 90_000);

  it('prints plain lines without a terminal, none wider than 80 columns, and ends cleanly on Ctrl-C', async () => {
    let killed = false;
    const { code, out, err } = await run(['gossip', '--nodes', '12', '--profile', 'local'], (text, kill) => {
      if (killed || !text.includes('One crash')) return;
      killed = true;
      kill('SIGINT');
    });
    expect({ code, err }).toEqual({ code: 130, err: '' });
    expect(out).toContain('Joining');
    expect(out.trimEnd().endsWith('interrupted')).toBe(true);
    expect(out).not.toContain('\u001b');
    expect(out).not.toContain('\r');
    expect(out.split('\n').filter((line) => line.length > 80)).toEqual([]);
  }, 60_000);
});

describe('hearsay membership', () => {
  it('shows every act and ends with all of them done', async () => {
    const { code, out, err } = await run(['membership']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const act of ['Join', 'Metadata', 'Graceful leave', 'Crash', 'False suspicion', 'Partition', 'Healing']) {
      expect(out).toMatch(new RegExp(`^  ${act} .* s  ✓$`, 'm'));
    }
    expect(out).toMatch(/amber {3}leave {4}cedar/);
    expect(out).toMatch(/amber {3}dead {5}dahlia/);
    expect(out).toMatch(/amber {3}alive {4}elm +refuted: incarnation 2/);
    expect(out.split('\n').filter((line) => line.length > 80)).toEqual([]);
  }, 120_000);
});
