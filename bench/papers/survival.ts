import { bytesOf } from '../../src/util/bytes.ts';
import { Prng } from '../../src/util/prng.ts';
import { settled } from './cluster.ts';
import { serfMs } from './convergence.ts';
import { around, atMost, type Experiment, mean, type Row } from './experiment.ts';

type Job =
  | { readonly kind: 'engine'; readonly nodes: number; readonly dead: number; readonly messages: number }
  | { readonly kind: 'rounds'; readonly nodes: number; readonly dead: number; readonly messages: number };

interface Result {
  readonly job: Job;
  /** Mean share of the survivors that a message sent right after the blow reaches: all they ever hear. */
  readonly reached: number;
  /** ms until 99.99 % of the survivors have the first message; 0 with rounds, or when they never had. */
  readonly mostMs: number;
  /** ms until no survivor holds any of the dead for alive or suspect. */
  readonly cleanMs: number;
  /** Survivors declared dead by survivors. */
  readonly falsePositives: number;
}

const FANOUT = 4;
/** Why a message does not reach the last ones. */
const NOTE =
  'the formula lets gossip go on for ever; each member tells a message 16 times, and until the dead are found more than half of those go to them: who is left out hears with the next push/pull, or not at all';

/** Engines: the blow, then messages at once, then time until all have dropped all the dead. */
function withEngines(job: Extract<Job, { kind: 'engine' }>): Result {
  const { nodes, dead, messages } = job;
  const sim = settled(nodes, { seed: 1 }, 2000);
  const gone = Math.round(nodes * dead);
  const random = new Prng(Math.round(1000 * dead));
  const names = [...sim.nodes.keys()];
  for (let i = 0; i < gone; i++) {
    const at = i + random.below(names.length - i);
    const name = names[at] as string;
    names[at] = names[i] as string;
    names[i] = name;
  }
  const lost = new Set(names.slice(0, gone));
  const survivors = nodes - gone;
  const heard = new Map<string, number>();
  const leftIn = new Map<string, number>();
  let falsePositives = 0;
  let dirty = survivors;
  let firstMs = 0;
  const startMs = sim.nowMs;
  sim.check({
    name: 'survivors',
    event: (node, event, nowMs) => {
      if (event.type === 'message') {
        const text = String.fromCharCode(...event.payload);
        const count = (heard.get(text) ?? 1) + 1;
        heard.set(text, count);
        if (text === 'm0' && firstMs === 0 && count >= 0.9999 * survivors) firstMs = nowMs - startMs;
      } else if (event.type === 'dead') {
        if (!lost.has(event.member.name)) falsePositives++;
        else {
          const left = (leftIn.get(node.name) ?? gone) - 1;
          leftIn.set(node.name, left);
          if (left === 0) dirty--;
        }
      }
    },
  });
  for (const name of lost) sim.crash(name);
  const up = names.slice(gone);
  for (let i = 0; i < messages; i++) {
    const from = up[(i * 13) % up.length] as string;
    sim.act(from, (engine, now) => engine.broadcast(now, bytesOf(`m${i}`)));
  }
  const cleanMs = sim.until(() => dirty === 0, 240_000);
  const shares = Array.from({ length: messages }, (_, i) => (heard.get(`m${i}`) ?? 1) / survivors);
  return { job, reached: mean(shares), mostMs: firstMs, cleanMs, falsePositives };
}

/** Each site tells four of all others once, blindly: what memoryless gossip without repetition does. */
function inRounds(job: Extract<Job, { kind: 'rounds' }>): Result {
  const { nodes, dead, messages } = job;
  const random = new Prng(Math.round(1000 * dead) + 7);
  const alive = Math.round(nodes * (1 - dead));
  const shares = Array.from({ length: messages }, () => {
    const heard = new Uint8Array(alive);
    heard[0] = 1;
    const queue = [0];
    for (const site of queue) {
      for (let i = 0; i < FANOUT; i++) {
        const to = (site + 1 + random.below(nodes - 1)) % nodes;
        if (to >= alive || heard[to] === 1) continue;
        heard[to] = 1;
        queue.push(to);
      }
    }
    return queue.length / alive;
  });
  return { job, reached: mean(shares), mostMs: 0, cleanMs: 0, falsePositives: 0 };
}

/** Mean reliability of such gossip: it takes off with probability 1-q and then reaches r. */
export function predicted(dead: number): number {
  let r = 1;
  let q = 0;
  for (let i = 0; i < 500; i++) {
    r = 1 - Math.exp(-FANOUT * (1 - dead) * r);
    q = (dead + (1 - dead) * q) ** FANOUT;
  }
  return (1 - q) * r;
}

const SHARES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];

export const survival: Experiment<Job, Result> = {
  name: 'survival',
  title: 'Survival with 10 to 70 % of the nodes dead',
  source:
    'Leitão, Pereira, Rodrigues 2007 (HyParView), fig. 1c, for blind gossip with fanout 4; Serf formula for the time',
  method:
    'Rounds: 10,000 sites, 200 messages, each site tells four of all once. Engine: 1000 members in the simulator, all the dead crash at one instant, 20 messages leave at once from survivors, LAN preset.',
  jobs(scale) {
    const isFull = scale === 'full';
    return (isFull ? SHARES : [0.3, 0.5]).flatMap((dead): Job[] => [
      { kind: 'engine', nodes: isFull ? 1000 : 60, dead, messages: isFull ? 20 : 5 },
      { kind: 'rounds', nodes: isFull ? 10_000 : 3000, dead, messages: isFull ? 200 : 150 },
    ]);
  },
  work: (job) => (job.kind === 'engine' ? withEngines(job) : inRounds(job)),
  report(results, scale) {
    const rows: Row[] = [];
    const of = (kind: Job['kind']): Result[] => results.filter(({ job }) => job.kind === kind);
    for (const { job, reached } of of('rounds')) {
      rows.push(
        around(
          `rounds, blind fanout 4, ${job.dead * 100} % dead: reached`,
          100 * reached,
          100 * predicted(job.dead),
          scale === 'full' ? 3 : 8,
          { unit: '%' },
        ),
      );
    }
    for (const { job, reached, mostMs, falsePositives } of of('engine')) {
      rows.push(
        around(
          `engine, ${job.dead * 100} % dead: survivors reached at once`,
          100 * reached,
          100,
          scale === 'full' ? 0.5 : 2,
          { unit: '%', ...(reached < 0.995 ? { note: NOTE } : {}) },
        ),
      );
      if (scale === 'full') {
        const published = serfMs(job.nodes, 0.9999, job.dead) / 1000;
        rows.push(
          atMost(
            `engine, ${job.dead * 100} % dead: time to 99.99 % of the survivors`,
            mostMs === 0 ? Number.POSITIVE_INFINITY : mostMs / 1000,
            published,
            published * 1.2,
            { unit: 's', ...(mostMs === 0 ? { note: NOTE } : {}) },
          ),
        );
      }
      rows.push(around(`engine, ${job.dead * 100} % dead: survivors declared dead`, falsePositives, 0, 0));
    }
    return {
      rows,
      data: of('engine').map(({ job, reached, mostMs, cleanMs, falsePositives }) => ({
        percent: Math.round(100 * job.dead),
        reached,
        blindReached: of('rounds').find((each) => each.job.dead === job.dead)?.reached,
        predictedReached: predicted(job.dead),
        mostMs,
        theoryMs: serfMs(job.nodes, 0.9999, job.dead),
        droppedMs: cleanMs,
        falsePositives,
      })),
    };
  },
};
