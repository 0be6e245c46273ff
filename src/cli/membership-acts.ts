import type { Member } from '../cluster/member.ts';
import { partition } from '../transport/faulty.ts';
import { formatAddress } from '../util/address.ts';
import { textOf } from '../util/bytes.ts';
import type { Fleet, FleetEvent, FleetNode } from './fleet.ts';
import { pad, seconds, type Terminal } from './terminal.ts';
import { pause, waitUntil } from './wait.ts';

export const NAMES = ['amber', 'birch', 'cedar', 'dahlia', 'elm', 'fern', 'ginkgo', 'hazel'] as const;
type Name = (typeof NAMES)[number];

const LIMIT_MS = 60_000;
const NAME_COLUMNS = 7;

export interface Stage {
  readonly fleet: Fleet;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  /** When the act began. */
  fromMs: number;
  /** Nodes whose events are printed. */
  readonly watched: Set<string>;
  /** Ends the partition. */
  heal?: () => void;
}

export interface ActResult {
  readonly title: string;
  readonly outcome: string;
  readonly ms: number;
}

interface Act {
  readonly title: string;
  readonly note: string;
  /** Resolves with one line for the summary. */
  readonly run: (stage: Stage) => Promise<string>;
}

/** Prints each event of the watched nodes. */
export function watchEvents(stage: Stage): void {
  stage.fleet.listen((node, event, subject) => {
    if (event === 'message' || !stage.watched.has(node.name)) return;
    const { color } = stage.terminal;
    const paint = {
      join: color.green,
      alive: color.green,
      update: color.cyan,
      leave: color.blue,
      suspect: color.yellow,
      dead: color.red,
    }[event];
    const member = node.cluster.member(subject);
    const detail = member === undefined ? '' : describe(event, member);
    say(
      stage,
      `${color.dim(pad(node.name, NAME_COLUMNS))} ${paint(pad(event, 8))} ${pad(subject, NAME_COLUMNS)} ${color.dim(detail)}`,
    );
  });
}

export const acts: readonly Act[] = [
  {
    title: 'Join',
    note: 'all start; each is told the address of one other',
    run: async (stage) => {
      const { fleet, signal } = stage;
      await fleet.start(
        () => signal.aborted,
        () => undefined,
      );
      await wait(stage, 'all eight knowing each other', () => fleet.nodes.every((node) => node.known === NAMES.length));
      return `all ${NAMES.length} know each other`;
    },
  },
  {
    title: 'Metadata',
    note: 'birch changes what it says about itself: setMeta()',
    run: async (stage) => {
      const birch = node(stage, 'birch');
      const updated = new Set<string>();
      const forget = stage.fleet.listen((at, event, subject) => {
        if (event === 'update' && subject === 'birch' && at.name !== 'birch') updated.add(at.name);
      });
      const done = birch.cluster.setMeta('role=store version=2');
      await wait(stage, 'everybody seeing the new metadata', () => updated.size === NAMES.length - 1);
      await done;
      forget();
      return `${NAMES.length - 1} others saw the update`;
    },
  },
  {
    title: 'Graceful leave',
    note: 'cedar says goodbye: await cluster.leave()',
    run: async (stage) => {
      const cedar = node(stage, 'cedar');
      const seen = collect(stage, 'cedar');
      await stage.fleet.leave(cedar);
      await wait(stage, 'everybody seeing the leave', () => seen.leave.size === NAMES.length - 1);
      if (seen.dead.size > 0) throw new Error('a leave was taken for a failure');
      seen.forget();
      return 'seen as left, by nobody as failed';
    },
  },
  {
    title: 'Crash',
    note: 'dahlia stops without a word',
    run: async (stage) => {
      const seen = collect(stage, 'dahlia');
      await stage.fleet.kill(node(stage, 'dahlia'));
      const others = stage.fleet.running.length;
      await wait(stage, 'a suspicion of dahlia', () => seen.suspect.size > 0);
      const suspectedMs = performance.now() - stage.fromMs;
      await wait(stage, 'everybody declaring dahlia dead', () => seen.dead.size === others);
      seen.forget();
      return `suspected after ${seconds(suspectedMs)}, dead for all ${others} others`;
    },
  },
  {
    title: 'False suspicion',
    note: "elm's network fails until others suspect it",
    run: async (stage) => {
      const { fleet } = stage;
      const seen = collect(stage, 'elm');
      const elm = node(stage, 'elm');
      const before = elm.cluster.self.incarnation;
      const restore = fleet.network.add(between(stage, ['elm']));
      note(stage, 'elm is cut off');
      await wait(stage, 'a suspicion of elm at amber', () => seen.suspect.has('amber'));
      restore();
      note(stage, 'its network is back; elm hears the accusation and objects');
      const backMs = performance.now();
      await wait(stage, 'amber hearing the refutation', () => seen.alive.has('amber'));
      const tookMs = performance.now() - backMs;
      const after = elm.cluster.self.incarnation;
      if (seen.dead.size > 0) throw new Error('elm was declared dead although it could refute');
      // What elm thought of the others meanwhile is refuted as well, before the next act.
      const peers = fleet.running;
      await wait(stage, 'all suspicions being refuted', () => peers.every(isCalm));
      seen.forget();
      return `refuted ${seconds(tookMs)} later: incarnation ${before} to ${after}`;
    },
  },
  {
    title: 'Partition',
    note: 'amber, birch, elm  |  fern, ginkgo, hazel',
    run: async (stage) => {
      const { fleet } = stage;
      const side = ['fern', 'ginkgo', 'hazel'] as const;
      stage.watched.add('hazel');
      stage.heal = fleet.network.add(between(stage, side));
      const here = fleet.running.length - side.length;
      const isOver = (): boolean =>
        fleet.running.every((each) => each.known === (side.some((name) => name === each.name) ? side.length : here));
      await wait(stage, 'each side declaring the other dead', isOver);
      return `two clusters, of ${here} and of ${side.length}`;
    },
  },
  {
    title: 'Healing',
    note: 'the network is whole again; nobody is told',
    run: async (stage) => {
      const { fleet } = stage;
      stage.heal?.();
      const members = fleet.running.length;
      await wait(stage, 'the halves finding each other', () =>
        fleet.running.every((each) => each.known === members && isCalm(each)),
      );
      return `one cluster of ${members}: the lost are tried again`;
    },
  },
];

/** Events about one member, as the set of those who saw each. */
function collect(stage: Stage, subject: Name): Record<FleetEvent, Set<string>> & { forget: () => void } {
  const seen = {
    join: new Set<string>(),
    alive: new Set<string>(),
    suspect: new Set<string>(),
    dead: new Set<string>(),
    leave: new Set<string>(),
    update: new Set<string>(),
    message: new Set<string>(),
  };
  const forget = stage.fleet.listen((at, event, about) => {
    // What a member's own program hears of itself does not count.
    if (about === subject && at.name !== subject) seen[event].add(at.name);
  });
  return { ...seen, forget };
}

/** A partition with these nodes on one side. */
function between(stage: Stage, names: readonly Name[]): ReturnType<typeof partition> {
  const inside = new Set(names.map((name) => node(stage, name).address));
  return partition((address) => inside.has(formatAddress(address)));
}

function node(stage: Stage, name: Name): FleetNode {
  return stage.fleet.nodes[NAMES.indexOf(name)] as FleetNode;
}

/** True when the node suspects nobody. */
function isCalm({ cluster }: FleetNode): boolean {
  return cluster.members().every((member) => member.status === 'alive');
}

async function wait(stage: Stage, what: string, isDone: () => boolean): Promise<void> {
  const { fleet, signal, terminal } = stage;
  await waitUntil(fleet, isDone, {
    timeoutMs: LIMIT_MS,
    signal,
    what,
    tick: () =>
      terminal.live(
        `  ${terminal.color.dim(seconds(performance.now() - stage.fromMs).padStart(9))}  ${terminal.color.dim(`waiting for ${what}`)}`,
      ),
  });
  // What follows in the same moment belongs to this act.
  await pause(fleet, 50, signal);
}

function describe(event: FleetEvent, member: Member): string {
  switch (event) {
    case 'join':
      return `${member.address}  ${textOf(member.meta)}`;
    case 'update':
      return textOf(member.meta);
    case 'suspect':
      return 'no answer; it has time to refute';
    case 'alive':
      return `refuted: incarnation ${member.incarnation}`;
    case 'dead':
      return 'nobody refuted in time';
    case 'leave':
      return 'left on purpose';
    case 'message':
      return '';
  }
}

function say(stage: Stage, text: string): void {
  stage.terminal.at(performance.now() - stage.fromMs, text);
}

/** Something that we did to the network, not an event. */
function note(stage: Stage, text: string): void {
  const { dim } = stage.terminal.color;
  say(stage, dim(`~ ${text}`));
}
