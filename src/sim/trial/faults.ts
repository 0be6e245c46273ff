import { bytesOf } from '../../util/bytes.ts';
import { flipFlop, lossAt, oneWay, slow } from '../network.ts';
import type { Simulation } from '../simulation.ts';
import { type Fault, SAFETY_PERIODS } from './parameters.ts';

/** Messages that one node broadcasts at once: more than its queue may hold. */
const FLOOD_MAX = 200;

/** A change of the run at a time, ms from the start of the safety phase. */
export interface Moment {
  readonly atMs: number;
  act(): void;
}

/** What a fault does, and when. */
export function momentsOf(simulation: Simulation, fault: Fault, periodMs: number): Moment[] {
  const fromMs = fault.at * periodMs;
  const untilMs = Math.min(fromMs + fault.lasts * periodMs, SAFETY_PERIODS * periodMs);
  const [first] = fault.nodes as readonly [string];
  const isUp = (): boolean => simulation.node(first).isUp;
  const whileUp =
    (act: () => void): (() => void) =>
    () => {
      if (isUp()) act();
    };
  /** Something that begins and ends. */
  const lasting = (begin: () => () => void): Moment[] => {
    let end = (): void => {};
    return [
      {
        atMs: fromMs,
        act: () => {
          end = begin();
        },
      },
      { atMs: untilMs, act: () => end() },
    ];
  };
  switch (fault.kind) {
    case 'crash':
      return [{ atMs: fromMs, act: () => simulation.crash(first) }];
    case 'restart':
      return [
        { atMs: fromMs, act: () => simulation.crash(first) },
        { atMs: untilMs, act: () => startAgain(simulation, first, 0) },
      ];
    case 'restart-remembering': {
      let incarnation = 0;
      return [
        {
          atMs: fromMs,
          act: whileUp(() => {
            incarnation = simulation.node(first).engine.self.incarnation;
            simulation.crash(first);
          }),
        },
        { atMs: untilMs, act: () => startAgain(simulation, first, incarnation) },
      ];
    }
    case 'pause':
      return [{ atMs: fromMs, act: whileUp(() => simulation.pause(first, untilMs - fromMs)) }];
    case 'starve':
      return lasting(() => simulation.starve(first, 1 + fault.strength * (periodMs / 50)));
    case 'partition':
      return lasting(() => simulation.partition(fault.nodes));
    case 'one-way': {
      const inside = new Set(fault.nodes);
      return lasting(() =>
        simulation.rule(
          oneWay(
            fault.nodes,
            [...simulation.nodes.keys()].filter((name) => !inside.has(name)),
          ),
        ),
      );
    }
    case 'flip-flop':
      return lasting(() => simulation.rule(flipFlop(fault.nodes, 2 * periodMs, periodMs)));
    case 'loss':
      return lasting(() => simulation.rule(lossAt(fault.nodes, fault.strength)));
    case 'slow':
      return lasting(() => simulation.rule(slow(fault.nodes, fault.strength * (periodMs / 2))));
    case 'leave':
      return [
        { atMs: fromMs, act: whileUp(() => simulation.act(first, (engine, now) => engine.leave(now))) },
        { atMs: Math.max(untilMs, fromMs + 5 * periodMs), act: () => simulation.crash(first) },
      ];
    case 'metadata':
      return [
        {
          atMs: fromMs,
          act: whileUp(() =>
            simulation.act(first, (engine, now) => engine.setMeta(now, bytesOf(`version ${fault.at}`))),
          ),
        },
      ];
    case 'broadcast': {
      const count = 1 + Math.floor(fault.strength * FLOOD_MAX);
      return [
        {
          atMs: fromMs,
          act: whileUp(() =>
            simulation.act(first, (engine, now) => {
              for (let i = 0; i < count; i++) engine.broadcast(now, bytesOf(`news ${fault.at} ${i}`));
            }),
          ),
        },
      ];
    }
    case 'accuse':
      // Somebody forces a probe of it: where it cannot be answered, a suspicion begins.
      return [
        {
          atMs: fromMs,
          act: () => {
            const accuser = simulation.up.find((node) => node.name !== first && node.member(first) !== undefined);
            if (accuser) simulation.act(accuser.name, (engine, now) => engine.forceProbe(now, first));
          },
        },
      ];
  }
}

function startAgain(simulation: Simulation, name: string, incarnation: number): void {
  if (simulation.node(name).isUp) return;
  simulation.restart(name, { incarnation });
}
