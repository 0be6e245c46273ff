import { describe, expect, test } from 'vitest';
import { benchBackends, type CaseResult, measure, SMOKE } from '../../bench/harness.ts';
import { insertBetweenMarkers, report, setting } from '../../bench/report.ts';
import { SUITES } from '../../bench/suites.ts';
import { VERSUS } from '../../bench/versus/cases.ts';
import { measureVersus, type VersusResult } from '../../bench/versus/measure.ts';
import { versusReport } from '../../bench/versus/report.ts';

const cases = SUITES.flatMap((suite) => suite.cases.map((each) => ({ id: `${suite.name}/${each.name}`, suite, each })));

const where = {
  cpu: 'a CPU',
  cores: 2,
  load: 0.5,
  platform: 'p',
  node: 'v1',
  commit: 'c',
  date: 'd',
  command: 'make bench',
};
const timing = (medianNs: number) => ({ medianNs, p99Ns: 2 * medianNs, samples: 9 });
const result = (name: string, native: number, twin: number, low: number, high: number): CaseResult => ({
  suite: 'kernel',
  name,
  operations: 1,
  timings: { native: timing(native), js: timing(twin) },
  ratio: { median: twin / native, low, high },
  hash: '00',
});

describe('benchmarks', () => {
  test.each(cases.filter(({ each }) => each.smoke))(
    '$id runs, and the engines leave the same output',
    ({ suite, each }) => {
      const measured = measure(suite.name, each, SMOKE);
      expect(Object.keys(measured.timings).sort()).toEqual(
        benchBackends()
          .map((backend) => backend.name)
          .sort(),
      );
      expect(measured.hash).toMatch(/^[0-9a-f]{16}$/);
    },
  );

  test.runIf(benchBackends().length === 2)('a case whose engines differ fails', () => {
    const differs = {
      name: 'differs',
      operations: 1,
      setup: (backend: { name: string }) => ({
        run: () => {},
        output: () => [Uint8Array.of(backend.name === 'js' ? 1 : 2)],
      }),
    };
    expect(() => measure('kernel', differs, SMOKE)).toThrow(/differs: the engines' outputs differ/);
  });

  test('every kernel has cases, every case another name', () => {
    const ids = cases.map(({ id }) => id);
    expect(SUITES.map((suite) => suite.name)).toEqual([
      'packet-codec',
      'member-table',
      'broadcast-queue',
      'digest',
      'delta',
    ]);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('comparisons', () => {
  const programs = { memberlist: '', bandwidth: '', inputs: '' };

  test.each(VERSUS)('$id: our engines and plain JavaScript come to the same result', async (each) => {
    const measured = await measureVersus(each, programs, SMOKE);
    const names = [...benchBackends().map((backend) => backend.name), ...(each.plain ? ['plain'] : [])];
    expect(Object.keys(measured.timings)).toEqual(names);
    expect(measured.view).not.toBe('');
  });

  test('contenders that come to different results fail', async () => {
    const [each] = VERSUS;
    if (!each) throw new Error('no comparisons');
    const subject = (view: string) => ({ run: () => {}, view: () => view });
    const differs = { ...each, kernels: () => subject('a'), plain: () => subject('b') };
    await expect(measureVersus(differs, programs, SMOKE)).rejects.toThrow(/the results differ/);
  });

  test('the table says what must be reached, and what was missed', () => {
    const id = 'merge-unchanged';
    const measured = (native: number, memberlist: number): VersusResult => ({
      id,
      timings: { native: timing(native), js: timing(4 * native), memberlist: timing(memberlist) },
      rounds: { native: [native], js: [4 * native], memberlist: [memberlist] },
      view: '',
    });
    expect(versusReport([measured(1e6, 12e6)])).toContain(
      '| 1 ms | 4 ms | 12 ms | native >= 10x memberlist; native >= 3x pure TypeScript | 12.0x; 4.0x |',
    );
    expect(versusReport([measured(1e6, 9e6)])).toContain('**missed**: 9.0x; 4.0x |');
  });
});

describe('the report', () => {
  test('names the machine, and says so where nobody is clearly faster', () => {
    const table = report([result('clear', 100, 250, 2.1, 2.9), result('noise', 100, 101, 0.9, 1.2)]);
    expect(setting(where, '').join('\n')).toContain('a CPU, 2 cores (load 0.5 at the start), p, Node v1, commit c, d.');
    expect(table).toContain('| clear | 100 / 200 | 250 / 500 | 2.5 (2.1 to 2.9) |');
    expect(table).toContain('| noise | 100 / 200 | 101 / 202 | no difference (0.90 to 1.20) |');
  });

  test('goes between its markers and leaves the rest of the document alone', () => {
    const document = 'before\n<!-- bench:start -->\nold\n<!-- bench:end -->\nafter\n';
    const written = insertBetweenMarkers(document, 'bench', 'new\n');
    expect(written).toBe('before\n<!-- bench:start -->\n\nnew\n\n<!-- bench:end -->\nafter\n');
    expect(insertBetweenMarkers(written, 'bench', 'new\n')).toBe(written);
    expect(() => insertBetweenMarkers('no markers', 'bench', 'new')).toThrow(/bench:start/);
  });
});
