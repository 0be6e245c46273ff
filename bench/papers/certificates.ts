import { Prng } from '../../src/util/prng.ts';
import { around, type Experiment, mean, near } from './experiment.ts';

interface Job {
  readonly sites: number;
  readonly holders: number;
  readonly runs: number;
  /** The item was legitimately written again before the dormant certificate woke up. */
  readonly isRecreated: boolean;
  readonly seed: number;
}

interface Result extends Pick<Job, 'holders' | 'isRecreated'> {
  /** Share of runs at whose end somebody holds the deleted item; with isRecreated: at whose end somebody lacks the new one. */
  readonly wrong: number;
  /** Share of runs in which all holders had lost their copy after one half-life of servers. */
  readonly lost: number;
}

const CYCLES = 60;
const OLD = 10;
const DELETED = 20;
const NEW = 30;

/** One returning site with an old item, in a group in which only `holders` sites still remember that it was deleted. */
function trial({ sites, holders, isRecreated }: Job, seed: number): boolean {
  const random = new Prng(seed);
  /** Ordinary timestamp of what a site has, 0 = nothing; a certificate counts as an entry that is DELETED old. */
  const stamp = new Float64Array(sites);
  const dormant = new Uint8Array(sites);
  for (let i = 0; i < holders; i++) dormant[random.below(sites)] = 1;
  if (isRecreated) stamp[random.below(sites)] = NEW;
  const returning = random.below(sites);
  stamp[returning] = Math.max(stamp[returning] as number, OLD);
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    for (let site = 0; site < sites; site++) {
      const partner = (site + 1 + random.below(sites - 1)) % sites;
      const newest = Math.max(stamp[site] as number, stamp[partner] as number);
      stamp[site] = newest;
      stamp[partner] = newest;
      // A dormant certificate that meets an obsolete item wakes up; its ordinary timestamp stays, so that it cancels nothing newer.
      for (const each of [site, partner]) if (dormant[each] === 1 && stamp[each] === OLD) stamp[each] = DELETED;
    }
  }
  return isRecreated ? stamp.some((value) => value !== NEW) : stamp.includes(OLD);
}

export const certificates: Experiment<Job, Result> = {
  name: 'certificates',
  title: 'Dormant death certificates',
  source: 'Demers et al. 1987, §2',
  method:
    'Synchronous push-pull anti-entropy, 300 sites, 300 runs. One site comes back with an item that was deleted while it was away; r random sites still hold a dormant certificate.',
  jobs: (scale) =>
    [0, 1, 2, 4].flatMap((holders) =>
      [false, true].map((isRecreated, i) => ({
        sites: 300,
        holders,
        isRecreated,
        runs: scale === 'full' ? 300 : 20,
        seed: 100_000 * (holders + 1) + 50_000 * i,
      })),
    ),
  work(job) {
    const { holders, isRecreated, runs, seed } = job;
    const seeds = Array.from({ length: runs }, (_, i) => seed + i);
    const coin = new Prng(seed);
    const lost = Array.from({ length: 100 * runs }, () => {
      let all = 1;
      for (let i = 0; i < holders; i++) if (coin.unit() < 0.5) all = 0;
      return all;
    });
    return { holders, isRecreated, wrong: mean(seeds.map((each) => Number(trial(job, each)))), lost: mean(lost) };
  },
  report(results, scale) {
    const find = (holders: number, isRecreated: boolean): Result =>
      results.find((each) => each.holders === holders && each.isRecreated === isRecreated) as Result;
    const rows = [around('no certificate left: the item returns, share of runs', find(0, false).wrong, 1, 0)];
    for (const r of [1, 2, 4]) {
      rows.push(around(`r=${r} dormant: the item returns`, find(r, false).wrong, 0, 0));
      rows.push(around(`r=${r} dormant: a newer item of that key is harmed`, find(r, true).wrong, 0, 0));
      const share = scale === 'full' ? 0.1 : 0.3;
      rows.push(near(`r=${r}: all copies gone after one server half-life (2^-r)`, find(r, false).lost, 2 ** -r, share));
    }
    return { rows, data: results };
  },
};
