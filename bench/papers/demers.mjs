// Demers et al. 1987, "Epidemic Algorithms for Replicated Database Maintenance": tables 1 to 3, anti-entropy, direct mail, connection limits, dormant death certificates.
import { Prng } from '../../dist/util/prng.js';
import { antiEntropy, directMail, meanOf, other, rumor } from './rounds.mjs';

const SITES = 1000;

const WHY_RESIDUE = 'the paper gives one or two digits; the traffic beside it and s = e^-m say the same as this measurement';

const TABLE_1 = { s: [0.18, 0.037, 0.011, 0.0036, 0.0012], m: [1.7, 3.3, 4.5, 5.6, 6.7], last: [16.8, 16.9, 17.4, 17.5, 17.7] };
const TABLE_2 = { s: [0.96, 0.2, 0.06, 0.021, 0.008], m: [0.04, 1.6, 2.8, 3.9, 4.9], last: [38, 33, 32, 32, 32] };
const TABLE_3 = { s: [3.1e-2, 5.8e-4, 4e-6], m: [2.7, 4.5, 6.1], last: [17.6, 15.4, 14] };

export const demers = {
  name: 'demers',
  title: 'Demers et al. 1987, epidemic algorithms',
  run({ quick }) {
    const rows = [];
    const runs = quick ? 40 : 400;
    const table = (label, published, options) => {
      published.s.forEach((s, i) => {
        const k = i + 1;
        const found = meanOf(runs, (seed) => rumor({ sites: SITES, k, seed: 1000 * k + seed, ...options }));
        // Few sites are missed at all: the count of a Poisson variable over all runs says how far the mean may be off.
        const expected = s * SITES * runs;
        const noise = 3 / Math.sqrt(Math.max(1, expected));
        rows.push(row(`${label}, k = ${k}: residue s`, s, found.residue, Math.max(0.07, noise), 'published', WHY_RESIDUE));
        rows.push(row(`${label}, k = ${k}: traffic m`, published.m[i], found.traffic, published.m[i] < 0.1 ? 0.2 : 0.05));
        rows.push(row(`${label}, k = ${k}: last arrival, cycles`, published.last[i], found.last, quick ? 0.1 : 0.05));
        if (options.mode === 'push' && found.residue > 0.002) {
          rows.push(row(`${label}, k = ${k}: s = e^-m`, Math.exp(-found.traffic), found.residue, 0.05, 'formula'));
        }
      });
    };
    table('table 1 (push, feedback, counter)', TABLE_1, { mode: 'push', feedback: true, counter: true });
    table('table 2 (push, blind, coin)', TABLE_2, { mode: 'push', feedback: false, counter: false });
    table('table 3 (pull, feedback, counter)', TABLE_3, { mode: 'pull', feedback: true, counter: true });

    // A limit helps a push: the calls that get through reach different sites. The factor is that of a cycle in which every site pushes.
    const limited = meanOf(runs, (seed) => rumor({ sites: SITES, k: 1, mode: 'push', feedback: true, counter: true, connectionLimit: 1, seed }));
    const limitedMore = meanOf(runs, (seed) => rumor({ sites: SITES, k: 4, mode: 'push', feedback: true, counter: true, connectionLimit: 1, seed }));
    const lambda = ({ residue, traffic }) => -Math.log(residue) / traffic;
    rows.push(row('push, connection limit 1, k = 1: -ln s / m', 1 / (1 - 1 / Math.E), lambda(limited), 0.1, 'formula', 'the factor is the limit for cycles in which all sites push; with feedback most have stopped by then'));
    rows.push(row('push, connection limit 1, k = 4: -ln s / m', 1 / (1 - 1 / Math.E), lambda(limitedMore), 0.1, 'formula', 'as above'));

    const curves = {};
    const tails = {};
    const expectedLast = { push: 17.9, pull: 13.8, 'push-pull': 9.1 };
    for (const mode of ['push', 'pull', 'push-pull']) {
      const all = Array.from({ length: quick ? 30 : 200 }, (_, i) => antiEntropy({ sites: SITES, mode, seed: 77 + i }));
      const last = all.reduce((sum, curve) => sum + curve.length - 1, 0) / all.length;
      if (mode !== 'push-pull') tails[mode] = mean(all.map((curve) => tailOf(mode, curve)));
      curves[mode] = Array.from({ length: 25 }, (_, cycle) => all.reduce((sum, curve) => sum + (curve[cycle] ?? 0), 0) / all.length);
      rows.push(row(`anti-entropy, ${mode}: last arrival, cycles`, expectedLast[mode], last, 0.5 / expectedLast[mode], 'own baseline'));
    }
    rows.push(row('anti-entropy, push: log2 n + ln n + O(1), O(1) = 1', Math.log2(SITES) + Math.log(SITES) + 1, last(curves.push, SITES), 0.15, 'formula'));
    // Tails: what is left after one more cycle. In a pull it is squared, in a push divided by e.
    rows.push(row('tail of pull: p(i+1) / p(i)^2', 1, tails.pull, 0.1, 'formula'));
    rows.push(row('tail of push: p(i+1) / (p(i) e^(p(i) - 1))', 1, tails.push, 0.05, 'formula'));
    const hunted = Array.from({ length: quick ? 20 : 100 }, (_, i) => antiEntropy({ sites: SITES, mode: 'pull', connectionLimit: 1, hunting: 1000, seed: 5 + i }).length - 1);
    const huntedPush = Array.from({ length: quick ? 20 : 100 }, (_, i) => antiEntropy({ sites: SITES, mode: 'push', connectionLimit: 1, hunting: 1000, seed: 5 + i }).length - 1);
    rows.push(row('connection limit 1, hunting without end: push as fast as pull', mean(hunted), mean(huntedPush), 0.06, 'claim'));
    const mail = meanOf(runs, (seed) => directMail({ sites: SITES, loss: 0.02, unknown: 0.03, seed }));
    rows.push(row('direct mail, 2 % lost, 3 % unknown: residue', 1 - 0.98 * 0.97, mail.residue, 0.05, 'formula'));
    rows.push(...certificates(quick));
    return { rows, data: { antiEntropy: curves } };
  },
};

/**
 * Dormant death certificates: after tau1 only r sites keep one, which wakes up when the obsolete item turns up (at a site that was away), and kills it everywhere. Without
 * them the item comes back. The activation timestamp, not the ordinary one, moves: a younger re-creation survives.
 */
function certificates(quick) {
  const runs = quick ? 30 : 200;
  const outcome = (retention, seed) => {
    const prng = new Prng(seed);
    const sites = 200;
    // 2 = holds the item of time 1, 1 = active certificate of time 2, 0 = nothing; dormant ones apart.
    const state = new Uint8Array(sites);
    const dormant = new Uint8Array(sites);
    for (let i = 0; i < retention; i++) dormant[prng.below(sites)] = 1;
    state[0] = 2;
    for (let cycle = 0; cycle < 60; cycle++) {
      for (let site = 0; site < sites; site++) {
        const partner = other(prng, sites, site);
        for (const [a, b] of [[site, partner], [partner, site]]) {
          if (state[a] === 1 && state[b] !== 1) state[b] = 1;
          else if (state[a] === 2 && dormant[b]) state[a] = state[b] = 1;
          else if (state[a] === 2 && state[b] === 0) state[b] = 2;
        }
      }
    }
    return { resurrected: state.includes(2) ? 1 : 0 };
  };
  // After one half-life of a server each of the r copies is there with probability 1/2.
  const coins = new Prng(3);
  const survivors = (r) => meanOf(runs * 20, () => ({ lost: Array.from({ length: r }, () => coins.below(2)).every((each) => each === 0) ? 1 : 0 }));
  return [
    row('death certificates gone: the deleted item comes back', 1, meanOf(runs, (seed) => outcome(0, seed)).resurrected, 0.001, 'claim'),
    row('dormant at 4 of 200 sites: the deleted item comes back', 0, meanOf(runs, (seed) => outcome(4, seed)).resurrected, 0.001, 'claim'),
    row('all 4 dormant copies gone after a half-life, 2^-r', 1 / 16, survivors(4).lost, quick ? 0.3 : 0.12, 'formula'),
  ];
}

/** How much is left after one more cycle, where less than a tenth (push) or a third (pull) did not know. */
function tailOf(mode, curve) {
  const at = curve.findIndex((share) => share < (mode === 'pull' ? 0.33 : 0.1));
  return mode === 'pull' ? curve[at + 1] / curve[at] ** 2 : curve[at + 1] / (curve[at] * Math.exp(curve[at] - 1));
}

function last(curve, sites) {
  return curve.findIndex((share) => share < 0.5 / sites);
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** One line of the table. `tolerance` is relative, or absolute where nothing is expected; `why` is said when it is missed. */
export function row(what, published, measured, tolerance, kind = 'published', why = '') {
  return { what, published, measured, tolerance, kind, why, ok: Math.abs(measured - published) <= tolerance * (published === 0 ? 1 : Math.abs(published)) };
}
