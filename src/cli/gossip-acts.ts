import type { EngineConfig } from '../protocol/config.ts';
import type { Prng } from '../util/prng.ts';
import type { Fleet, FleetNode } from './fleet.ts';
import { padLeft, seconds, type Terminal } from './terminal.ts';
import type { Theory } from './theory.ts';
import { DidNotHappen, pause, waitUntil } from './wait.ts';

/** What all acts of `hearsay gossip` work with. */
export interface Show {
  readonly fleet: Fleet;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  readonly config: EngineConfig;
  readonly theory: Theory;
  readonly random: Prng;
}

/** What was measured, ms and counts; a field that is missing did not happen. */
export interface Measured {
  joinMs?: number;
  startMs?: number;
  rumorTimesMs?: readonly number[];
  rumorHalfMs?: number;
  rumorAllMs?: number;
  rumorReached?: number;
  firstSuspicionMs?: number;
  firstDeadMs?: number;
  allKnowMs?: number;
  recoveryMs?: number;
  wronglyDead?: number;
}

const count = new Intl.NumberFormat('en-US');
const BAR_CELLS = 36;
/** What is reasonable to wait on a slow machine, on top of what theory says. */
const SLACK_MS = 30_000;

/** Everybody starts and hears of everybody. */
export async function join(
  show: Show,
  measured: Measured,
  options: { readonly profile: string; readonly loss: number; readonly seed: number },
): Promise<void> {
  const { fleet, terminal, signal, theory } = show;
  const { bold, dim } = terminal.color;
  const { size } = fleet;
  terminal.line(
    `${bold('hearsay gossip')}  ${size} nodes, profile ${options.profile}, packet loss ${percent(options.loss)}, seed ${options.seed}`,
  );
  terminal.heading('Joining', 'every node knows one other; gossip tells it the rest');

  // Watched from the first start on: members are learnt while others are still starting.
  measured.wronglyDead = 0;
  const wrong = new Set<string>();
  fleet.listen((_, event, subject) => {
    if (event !== 'dead' || !fleet.isRunning(subject)) return;
    wrong.add(subject);
    measured.wronglyDead = wrong.size;
  });

  let complete = 0;
  let pairs = 0;
  const forget = fleet.listen((node, event) => {
    if (event === 'join') {
      pairs++;
      if (node.known === size) complete++;
    } else if (event === 'dead') {
      pairs--;
      if (node.known === size - 1) complete--;
    }
  });
  const fromMs = performance.now();
  const elapsed = (): number => performance.now() - fromMs;
  let up = 0;
  const view = (): string => {
    const share = pairs / (size * size);
    return `  ${dim(padLeft(seconds(elapsed()), 9))}  ${terminal.bar(share, 24)} ${padLeft(percent(share, 1), 6)} of pairs acquainted, ${complete}/${size} know all`;
  };
  // Without a terminal, a line at each of these shares of complete members.
  const milestones = [0.01, 0.5, 0.9].map((share) => Math.ceil(share * size));
  const tick = (): void => {
    terminal.live(view());
    while (milestones[0] !== undefined && complete >= milestones[0]) {
      const members = milestones.shift() as number;
      terminal.at(
        elapsed(),
        `${padLeft(String(members), 4)} ${members === 1 ? 'member knows' : 'members know'} all ${size}`,
      );
    }
  };
  await fleet.start(
    () => signal.aborted,
    (now) => {
      up = now;
      terminal.live(`  ${dim(padLeft(seconds(elapsed()), 9))}  ${terminal.bar(up / size, 24)} ${up}/${size} started`);
    },
  );
  measured.startMs = elapsed();
  const first = fleet.nodes[0] as FleetNode;
  const last = fleet.nodes[size - 1] as FleetNode;
  const stats = await first.cluster.stats();
  terminal.at(elapsed(), `${size} nodes are up, at ${first.address} to ${last.address}`);
  terminal.line(
    dim(`             ${stats.backend} kernels, ${fleet.udp === 'batched' ? 'batched UDP' : 'UDP by node:dgram'}`),
  );
  await waitUntil(fleet, () => complete === size, {
    timeoutMs: SLACK_MS + 3 * theory.joinMs(first.name.length),
    signal,
    what: `all ${size} members knowing all others`,
    tick,
  });
  forget();
  measured.joinMs = elapsed() - measured.startMs;
  terminal.at(elapsed(), terminal.color.green(`all ${size} members know all ${size}`));
}

/** Lets the news of the joins run out, so that the rumor travels alone. */
export async function settle({ fleet, terminal, signal, config }: Show): Promise<void> {
  const limitMs = performance.now() + 12_000;
  let before = -1;
  while (performance.now() < limitMs) {
    const sent = await fleet.sum((stats) => stats.engine.gossipPackets);
    if (sent === before) return;
    before = sent;
    await pause(fleet, 2 * config.gossipIntervalMs, signal, () =>
      terminal.live('             waiting until the last news has died down'),
    );
  }
}

/** One member says something once. */
export async function rumor(show: Show, measured: Measured): Promise<void> {
  const { fleet, terminal, signal, config, theory, random } = show;
  const { dim } = terminal.color;
  const { size } = fleet;
  const origin = fleet.nodes[random.below(size)] as FleetNode;
  const intervalMs = config.gossipIntervalMs;
  terminal.heading(
    'One rumor',
    `${origin.name} says it once; who knows tells ${config.gossipNodes} others every ${seconds(intervalMs)}`,
  );
  terminal.line(
    dim(`  ${padLeft('time', 9)}  ${padLeft('theory', 7)} ${padLeft('measured', 9)}   members that know (┃ theory)`),
  );
  const timesMs: number[] = [0];
  const heard = new Set<string>();
  const fromMs = performance.now();
  const forget = fleet.listen((node, event, subject) => {
    if (event !== 'message' || subject !== origin.name || heard.has(node.name)) return;
    heard.add(node.name);
    timesMs.push(performance.now() - fromMs);
  });
  await origin.cluster.broadcast('the kettle is on');
  const row = (ms: number, reached: number): string => {
    const predicted = theory.reached(ms);
    return `  ${dim(padLeft(seconds(ms), 9))}  ${padLeft(predicted.toFixed(0), 7)} ${padLeft(String(reached), 9)}   ${marked(terminal, reached / size, predicted / size)}`;
  };
  const timeoutMs = SLACK_MS + 4 * theory.allMs();
  const missedBearable = bearable(theory.missed());
  let shown = 0;
  for (let round = 0; ; round++) {
    const ms = round * intervalMs;
    await waitUntil(fleet, () => performance.now() - fromMs >= ms, {
      timeoutMs: ms + SLACK_MS,
      signal,
      what: 'a round of gossip',
      tick: () => terminal.live(row(performance.now() - fromMs, timesMs.length)),
    });
    const reached = timesMs.filter((time) => time <= ms).length;
    const isOver = reached === size && theory.reached(ms) > size - 0.5;
    // When theory has run its course, only rounds with news are worth a row.
    if (reached !== shown || theory.reached(ms - intervalMs) < size - 0.5) terminal.line(row(ms, reached));
    shown = reached;
    if (isOver || ms > timeoutMs) break;
    if (ms > 2 * theory.allMs() && size - reached <= missedBearable && reached === timesMs.length && round % 5 === 0)
      break;
  }
  forget();
  timesMs.sort((a, b) => a - b);
  measured.rumorTimesMs = timesMs;
  measured.rumorReached = timesMs.length;
  const half = timesMs[Math.ceil(size / 2) - 1];
  if (half !== undefined) measured.rumorHalfMs = half;
  const all = timesMs[size - 1];
  if (all !== undefined) measured.rumorAllMs = all;
  const missed = size - timesMs.length;
  if (missed > missedBearable) {
    throw new DidNotHappen(
      `${missed} of ${size} members never heard the rumor within ${seconds(performance.now() - fromMs)}`,
    );
  }
  if (missed > 0)
    terminal.at(
      performance.now() - fromMs,
      `${missed} never heard it; theory expects ${theory.missed().toFixed(1)} at this loss`,
    );
}

/** One member is gone without a word. */
export async function crash(show: Show, measured: Measured): Promise<FleetNode> {
  const { fleet, terminal, signal, config, theory, random } = show;
  const { red, yellow, dim } = terminal.color;
  const victim = fleet.nodes[1 + random.below(fleet.size - 1)] as FleetNode;
  const others = fleet.size - 1;
  terminal.heading('One crash', `${victim.name} stops without a word; its sockets are closed`);
  const suspecting = new Set<string>();
  const knowing = new Set<string>();
  const fromMs = performance.now();
  const elapsed = (): number => performance.now() - fromMs;
  await fleet.kill(victim);
  terminal.at(0, `${victim.name} is gone; ${others} members take it for alive`);
  await waitUntil(fleet, () => knowing.size === others, {
    timeoutMs: SLACK_MS + 10 * theory.firstSuspicionMs() + config.suspicionMaxTimeoutMult * theory.suspicionMs(),
    signal,
    what: `all members knowing that ${victim.name} is dead`,
    listener: (node, event, subject) => {
      if (subject !== victim.name) return;
      if (event === 'suspect') {
        suspecting.add(node.name);
        if (measured.firstSuspicionMs === undefined) {
          measured.firstSuspicionMs = elapsed();
          terminal.at(elapsed(), yellow(`${node.name} suspects it: no answer, neither to it nor to those it asked`));
        }
        if (suspecting.size === others)
          terminal.at(elapsed(), `all ${others} have heard the suspicion; ${victim.name} could still refute it`);
      }
      if (event === 'dead') {
        knowing.add(node.name);
        if (measured.firstDeadMs === undefined) {
          measured.firstDeadMs = elapsed();
          terminal.at(elapsed(), red(`${node.name} declares it dead: nobody refuted in time`));
        }
      }
    },
    tick: () => {
      let what = dim(`members probe one another in turn; ${victim.name}'s will come`);
      if (knowing.size > 0)
        what = `${terminal.bar(knowing.size / others, 24, red)} ${knowing.size}/${others} know it is dead`;
      else if (suspecting.size > 0) {
        what = `${terminal.bar(suspecting.size / others, 24, yellow)} ${suspecting.size}/${others} suspect it`;
      }
      terminal.live(`  ${dim(padLeft(seconds(elapsed()), 9))}  ${what}`);
    },
  });
  measured.allKnowMs = elapsed();
  terminal.at(elapsed(), terminal.color.green(`all ${others} members know`));
  return victim;
}

/** The crashed one starts again, under its old name and address. */
export async function recover(show: Show, measured: Measured, victim: FleetNode): Promise<void> {
  const { fleet, terminal, signal, theory } = show;
  const { dim, green } = terminal.color;
  terminal.heading('Recovery', `${victim.name} starts again: same name, same address, no memory`);
  const fromMs = performance.now();
  const elapsed = (): number => performance.now() - fromMs;
  const seeing = new Set<string>();
  const forget = fleet.listen((node, event, subject) => {
    if (subject === victim.name && node.name !== victim.name && (event === 'join' || event === 'alive'))
      seeing.add(node.name);
  });
  const back = await fleet.startNode(victim.index, 1);
  const others = fleet.size - 1;
  terminal.at(elapsed(), `${back.name} is up and asks a member for all it knows`);
  await waitUntil(fleet, () => seeing.size === others && back.known === fleet.size, {
    timeoutMs: SLACK_MS + 10 * theory.allMs(),
    signal,
    what: `all members seeing ${victim.name} alive again`,
    tick: () =>
      terminal.live(
        `  ${dim(padLeft(seconds(elapsed()), 9))}  ${terminal.bar(seeing.size / others, 24)} ${seeing.size}/${others} see it alive`,
      ),
  });
  forget();
  measured.recoveryMs = elapsed();
  const { incarnation } = back.cluster.self;
  terminal.at(
    elapsed(),
    green(`all ${fleet.size} members see ${back.name} alive, at incarnation ${count.format(incarnation)}`),
  );
}

/** A bar with the theory's place marked. */
function marked(terminal: Terminal, ratio: number, predicted: number): string {
  const { green, cyan } = terminal.color;
  const at = Math.min(BAR_CELLS - 1, Math.max(0, Math.round(predicted * BAR_CELLS) - 1));
  const whole = Math.min(BAR_CELLS, Math.round(ratio * BAR_CELLS));
  const before = '█'.repeat(Math.min(whole, at)) + ' '.repeat(Math.max(0, at - whole));
  const after = '█'.repeat(Math.max(0, whole - at - 1));
  return `${green(before)}${cyan('┃')}${green(after)}`;
}

/** How many may miss a rumor when theory expects so many to: its mean and four standard deviations. */
function bearable(expected: number): number {
  return Math.floor(expected + 4 * Math.sqrt(expected) + 0.01);
}

export function percent(share: number, digits = 0): string {
  return `${(share * 100).toFixed(digits)} %`;
}
