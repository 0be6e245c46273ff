// Work that can wait gives way while timers are late (protocol §24.6).
import { describe, expect, it } from 'vitest';
import type { Context } from '../../src/protocol/context.ts';
import { Shedding } from '../../src/protocol/shedding.ts';
import { Simulation } from '../../src/sim/index.ts';

function shedding(isFast: boolean): { readonly shedding: Shedding; readonly stats: { ticksShed: number } } {
  const stats = { ticksShed: 0 };
  return { shedding: new Shedding({ self: { isFast }, stats } as unknown as Context, 3), stats };
}

describe('load shedding', () => {
  it('begins where a timer is more than 50 ms late, and does a tick after so many that it shed', () => {
    const { shedding: some, stats } = shedding(true);
    expect([0, 50, 51, 60, 200, 70, 51, 50, 300].map((lateMs) => some.sheds(lateMs))).toEqual([
      false,
      false,
      true,
      true,
      true,
      false,
      true,
      false,
      true,
    ]);
    expect(stats.ticksShed).toBe(5);
  });

  it('is of the fast profile alone', () => {
    const { shedding: some, stats } = shedding(false);
    expect(some.sheds(10_000)).toBe(false);
    expect(stats.ticksShed).toBe(0);
  });

  it.each(['fast', 'lan'] as const)('leaves nobody out where all are late all the time (%s)', (profile) => {
    const sim = new Simulation({ seed: 4, profile, history: 0, rejoinIntervalMs: 0 });
    sim.addNodes(40);
    sim.acquaint();
    sim.run(3000);
    sim.crash('n7');
    const isKnownToAll = (): boolean => sim.up.every(({ engine }) => (engine.member('n7')?.status ?? 0) >= 2);
    for (let round = 0; round < 200 && !isKnownToAll(); round++) {
      for (const { name } of sim.up) sim.pause(name, 150);
      sim.run(200);
    }
    expect(isKnownToAll()).toBe(true);
    const shed = sim.up.reduce((sum, { engine }) => sum + engine.stats.ticksShed, 0);
    if (profile === 'fast') expect(shed).toBeGreaterThan(100);
    else expect(shed).toBe(0);
    expect(sim.up.every(({ engine }) => engine.aliveCount === 39)).toBe(true);
  });
});
