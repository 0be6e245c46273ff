import type { Fault } from './types.ts';

/** What a scenario may do. */
export interface Stage {
  readonly nodes: number;
  /** Kills nodes at one instant. With `areVerdictsExpected` (the default) every live node is to declare them dead. */
  kill(indices: readonly number[], areVerdictsExpected?: boolean): void;
  /** All nodes join through the first one, until all see all or the time is over. */
  joinAll(limitMs: number): Promise<void>;
  restart(indices: readonly number[]): void;
  pause(indices: readonly number[], ms: number): void;
  fault(fault: Fault | undefined): void;
  /** So many of the nodes that are up, at random, not the first one. */
  pick(count: number): number[];
  /** Lets time pass. */
  wait(ms: number): Promise<void>;
  /** Until every live node has declared every killed one dead, or the time is over. */
  untilVerdicts(limitMs: number): Promise<void>;
  /** Until every live node sees exactly the live ones, or the time is over. */
  untilViews(limitMs: number): Promise<boolean>;
}

export interface Scenario {
  readonly name: string;
  readonly what: string;
  /** Nodes are alone when it begins, instead of knowing each other. */
  readonly startsAlone?: boolean;
  run(stage: Stage, durationMs: number): Promise<void>;
}

const VERDICTS_MS = 60_000;
const VIEWS_MS = 120_000;
export const JOIN_MS = 600_000;

/** Kills a share of the nodes and waits until all others know. */
export function killing(name: string, what: string, share: (nodes: number) => number): Scenario {
  return {
    name,
    what,
    run: async (stage) => {
      stage.kill(stage.pick(Math.max(1, Math.round(share(stage.nodes)))));
      await stage.untilVerdicts(VERDICTS_MS);
      await stage.wait(5000);
    },
  };
}

function faulty(name: string, what: string, ratio: number, oneWay: boolean, periodMs: number): Scenario {
  return {
    name,
    what,
    run: async (stage, durationMs) => {
      const nodes = stage.pick(Math.max(1, Math.round(stage.nodes / 100)));
      stage.fault({ kind: 'some', nodes, ratio, oneWay, periodMs });
      await stage.wait(durationMs);
      // Many hold them for dead long since.
      stage.kill(nodes, false);
      stage.fault(undefined);
      await stage.untilViews(VIEWS_MS);
    },
  };
}

/** What `hearsay loadtest --scenario` takes. */
export const SCENARIOS: readonly Scenario[] = [
  { name: 'steady', what: 'nothing happens', run: (stage, durationMs) => stage.wait(durationMs) },
  killing('kill-1', 'one node is killed', () => 1),
  killing('kill-1%', 'one in a hundred nodes is killed, all at once', (nodes) => nodes / 100),
  killing('kill-10%', 'one in ten nodes is killed, all at once', (nodes) => nodes / 10),
  killing('kill-50%', 'half of the nodes are killed at once', (nodes) => nodes / 2),
  {
    name: 'join-storm',
    what: 'all nodes join through one of them',
    startsAlone: true,
    run: async (stage, durationMs) => {
      await stage.joinAll(JOIN_MS);
      await stage.wait(durationMs);
    },
  },
  {
    name: 'rolling-restart',
    what: 'one node after the other is killed and started again',
    run: async (stage, durationMs) => {
      const nodes = stage.pick(Math.min(stage.nodes - 1, Math.max(1, Math.floor(durationMs / 1000))));
      for (const index of nodes) {
        // It is back before all can know.
        stage.kill([index], false);
        await stage.wait(500);
        stage.restart([index]);
        await stage.wait(500);
      }
      await stage.untilViews(VIEWS_MS);
    },
  },
  {
    name: 'partition',
    what: 'half of the nodes cannot reach the other half, and then can again',
    run: async (stage, durationMs) => {
      stage.fault({ kind: 'partition', border: Math.floor(stage.nodes / 2) });
      await stage.wait(durationMs);
      stage.fault(undefined);
      await stage.untilViews(VIEWS_MS);
    },
  },
  {
    name: 'loss-1%',
    what: 'one in a hundred packets is lost',
    run: async (stage, durationMs) => {
      stage.fault({ kind: 'loss', ratio: 0.01 });
      await stage.wait(durationMs);
    },
  },
  {
    name: 'loss-5%',
    what: 'one in twenty packets is lost',
    run: async (stage, durationMs) => {
      stage.fault({ kind: 'loss', ratio: 0.05 });
      await stage.wait(durationMs);
    },
  },
  faulty('flip-flop', 'one in a hundred nodes hears nothing, 20 s of 40 (Rapid, fig. 9)', 1, true, 20_000),
  faulty('loss-80%-some', 'one in a hundred nodes loses 80 % of its packets (Rapid, fig. 10)', 0.8, false, 0),
  {
    name: 'paused',
    what: 'one in a hundred processes stops for 200 ms every second',
    run: async (stage, durationMs) => {
      const nodes = stage.pick(Math.max(1, Math.round(stage.nodes / 100)));
      for (let ms = 0; ms < durationMs; ms += 1000) {
        stage.pause(nodes, 200);
        await stage.wait(1000);
      }
    },
  },
];
