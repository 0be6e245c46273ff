import { Prng } from '../../src/util/prng.ts';

/** How a rumor goes through synchronous cycles (Demers et al. 1987, §1.3 and §1.4). */
export interface Epidemic {
  readonly sites: number;
  readonly direction: 'push' | 'pull' | 'push-pull';
  /** When a site loses interest: undefined = never (anti-entropy). */
  readonly stop?: { readonly rule: 'counter' | 'coin'; readonly k: number; readonly feedback: boolean };
  /** Incoming contacts that a site takes per cycle; undefined = all. */
  readonly connectionLimit?: number;
  /** Further sites that a refused one tries in the same cycle. */
  readonly hunt?: number;
}

export interface EpidemicResult {
  /** Share of sites that never heard. */
  readonly residue: number;
  /** Updates sent, per site. */
  readonly traffic: number;
  /** Mean and last cycle in which a site heard, over those that did. */
  readonly meanCycle: number;
  readonly lastCycle: number;
  /** Share that knows after each cycle, from cycle 0. */
  readonly curve: readonly number[];
}

const CYCLES_MAX = 2000;

/**
 * One rumor from one site to the end. All act at once: a contact is judged by the state at the start of its cycle, so that two who bring
 * the news to one site both count as useful; whoever hears of it acts from the next cycle; a useful contact sets the counter to 0.
 */
export function spread(epidemic: Epidemic, seed: number): EpidemicResult {
  const { sites, direction, stop, connectionLimit = sites, hunt = 0 } = epidemic;
  const random = new Prng(seed);
  /** Cycle in which each heard, -1 = not yet. */
  const heard = new Int32Array(sites).fill(-1);
  const isHot = new Uint8Array(sites);
  const counter = new Uint32Array(sites);
  heard[0] = 0;
  isHot[0] = 1;
  let known = 1;
  let hot = 1;
  let sent = 0;
  const curve = [1 / sites];
  const knew = (site: number, cycle: number): boolean => {
    const at = heard[site] as number;
    return at >= 0 && at < cycle;
  };
  const learn = (site: number, cycle: number): void => {
    if ((heard[site] as number) >= 0) return;
    heard[site] = cycle;
    isHot[site] = 1;
    hot++;
    known++;
  };
  for (let cycle = 1; cycle < CYCLES_MAX && hot > 0 && (stop !== undefined || known < sites); cycle++) {
    const taken = new Uint32Array(sites);
    /** Of each source in this cycle: bit 0 was of no use to somebody, bit 1 was of use. */
    const use = new Uint8Array(sites);
    const give = (from: number, to: number): void => {
      sent++;
      const isUseful = !knew(to, cycle);
      use[from] = (use[from] as number) | (isUseful ? 2 : 1);
      if (isUseful) learn(to, cycle);
    };
    for (let site = 0; site < sites; site++) {
      const isSource = isHot[site] === 1 && knew(site, cycle);
      if (direction === 'push' && !isSource) continue;
      const partner = reach(site, random, taken, connectionLimit, hunt);
      if (partner < 0) continue;
      if (direction !== 'pull' && isSource) give(site, partner);
      if (direction !== 'push' && isHot[partner] === 1 && knew(partner, cycle)) give(partner, site);
    }
    if (stop) {
      for (let site = 0; site < sites; site++) {
        const was = use[site] as number;
        if (was === 0) continue;
        if (stop.feedback && (was & 2) !== 0) counter[site] = 0;
        else {
          counter[site] = (counter[site] as number) + 1;
          if (stop.rule === 'coin' ? random.below(stop.k) > 0 : (counter[site] as number) < stop.k) continue;
          isHot[site] = 0;
          hot--;
        }
      }
    }
    curve.push(known / sites);
  }
  let sum = 0;
  let lastCycle = 0;
  for (const cycle of heard) {
    if (cycle <= 0) continue;
    sum += cycle;
    lastCycle = Math.max(lastCycle, cycle);
  }
  return {
    residue: 1 - known / sites,
    traffic: sent / sites,
    meanCycle: sum / Math.max(1, known - 1),
    lastCycle,
    curve,
  };
}

/** A partner that still takes a contact, -1 when all that were tried refuse. */
function reach(site: number, random: Prng, taken: Uint32Array, limit: number, hunt: number): number {
  for (let tries = 0; tries <= hunt; tries++) {
    const partner = (site + 1 + random.below(taken.length - 1)) % taken.length;
    if ((taken[partner] as number) >= limit) continue;
    taken[partner] = (taken[partner] as number) + 1;
    return partner;
  }
  return -1;
}

/** The mean of curves of different lengths; each stays where it ended. */
export function meanCurve(curves: readonly (readonly number[])[]): number[] {
  const length = Math.max(...curves.map((curve) => curve.length));
  return Array.from(
    { length },
    (_, cycle) =>
      curves.reduce((sum, curve) => sum + (curve[Math.min(cycle, curve.length - 1)] as number), 0) / curves.length,
  );
}
