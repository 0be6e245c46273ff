// Epidemics in synchronous cycles, as the papers define them: what needs no engine. Randomness is seeded; partner choice is uniform over the others.
import { Prng } from '../../dist/util/prng.js';

const SUSCEPTIBLE = 0;
const INFECTIVE = 1;
const REMOVED = 2;

/**
 * Rumor mongering (Demers §1.4) until nobody is infective. All contacts of a cycle are judged by the state at its start, and who is infected acts from the next one on: only
 * so come out the published numbers.
 *
 * mode: 'push' or 'pull'; feedback: true counts only contacts with sites that knew; counter: true stops after k of them, false with probability 1/k at each.
 * connectionLimit: calls that a site takes per cycle (0 = any). Returns residue, traffic (updates sent per site), mean and last cycle of arrival.
 */
export function rumor({ sites, mode, feedback, counter, k, connectionLimit = 0, seed }) {
  const prng = new Prng(seed);
  const state = new Uint8Array(sites);
  const counts = new Uint32Array(sites);
  const arrival = new Int32Array(sites).fill(-1);
  const taken = new Uint32Array(sites);
  state[0] = INFECTIVE;
  arrival[0] = 0;
  let hot = [0];
  let sent = 0;
  for (let cycle = 1; hot.length > 0 && cycle < 10_000; cycle++) {
    const before = state.slice();
    const needy = new Uint8Array(sites);
    const asked = new Uint8Array(sites);
    taken.fill(0);
    const stop = (site, useless) => {
      if (feedback && !useless) {
        if (counter) counts[site] = 0;
        return;
      }
      if (counter ? ++counts[site] >= k : prng.below(k) === 0) state[site] = REMOVED;
    };
    const arrive = (site) => {
      if (arrival[site] >= 0) return;
      arrival[site] = cycle;
      state[site] = INFECTIVE;
    };
    if (mode === 'push') {
      for (const site of hot) {
        const partner = other(prng, sites, site);
        if (connectionLimit > 0 && ++taken[partner] > connectionLimit) continue;
        sent++;
        const useless = before[partner] !== SUSCEPTIBLE;
        if (!useless) arrive(partner);
        stop(site, useless);
      }
    } else {
      for (let site = 0; site < sites; site++) {
        const partner = other(prng, sites, site);
        if (connectionLimit > 0 && ++taken[partner] > connectionLimit) continue;
        if (before[partner] !== INFECTIVE) continue;
        sent++;
        asked[partner] = 1;
        if (before[site] === SUSCEPTIBLE) {
          needy[partner] = 1;
          arrive(site);
        }
      }
      // One that several asked counts once per cycle; any that needed it resets the counter.
      for (const site of hot) if (asked[site]) stop(site, !needy[site]);
    }
    hot = [];
    for (let site = 0; site < sites; site++) if (state[site] === INFECTIVE) hot.push(site);
  }
  let missed = 0;
  let sum = 0;
  let last = 0;
  for (let site = 0; site < sites; site++) {
    if (arrival[site] < 0) missed++;
    else {
      sum += arrival[site];
      last = Math.max(last, arrival[site]);
    }
  }
  return { residue: missed / sites, traffic: sent / sites, mean: sum / (sites - missed), last };
}

/** Anti-entropy (Demers §1.3): every site calls one other per cycle, until all know. Returns the share of those that do not know after each cycle. */
export function antiEntropy({ sites, mode, seed, connectionLimit = 0, hunting = 0 }) {
  const prng = new Prng(seed);
  let knows = new Uint8Array(sites);
  knows[0] = 1;
  let count = 1;
  const curve = [1 - 1 / sites];
  const taken = new Uint32Array(sites);
  while (count < sites && curve.length < 10_000) {
    const before = knows;
    knows = before.slice();
    taken.fill(0);
    for (let site = 0; site < sites; site++) {
      let partner = other(prng, sites, site);
      if (connectionLimit > 0) {
        for (let tries = 0; taken[partner] >= connectionLimit && tries < hunting; tries++) partner = other(prng, sites, site);
        if (++taken[partner] > connectionLimit) continue;
      }
      if (mode !== 'pull' && before[site]) knows[partner] = 1;
      if (mode !== 'push' && before[partner]) knows[site] = 1;
    }
    count = knows.reduce((sum, each) => sum + each, 0);
    curve.push(1 - count / sites);
  }
  return curve;
}

/** Direct mail (Demers §1.2): the site that takes the update sends it to all it knows of; some messages are lost, some sites not on its list. */
export function directMail({ sites, loss, unknown, seed }) {
  const prng = new Prng(seed);
  let missed = 0;
  for (let site = 1; site < sites; site++) if (prng.unit() < unknown || prng.unit() < loss) missed++;
  return { residue: missed / sites, traffic: (sites - 1) / sites };
}

export function other(prng, sites, site) {
  const partner = prng.below(sites - 1);
  return partner >= site ? partner + 1 : partner;
}

/** Mean of `runs` results of `run(seed)`, field by field. */
export function meanOf(runs, run) {
  const sums = {};
  for (let i = 0; i < runs; i++) {
    for (const [name, value] of Object.entries(run(i + 1))) sums[name] = (sums[name] ?? 0) + value / runs;
  }
  return sums;
}
