import { describe, expect, it } from 'vitest';
import { Awareness } from '../../src/protocol/awareness.ts';
import { Suspicion } from '../../src/protocol/suspicion.ts';

const LAN = { suspicionMult: 4, suspicionMaxTimeoutMult: 6, probeIntervalMs: 1000 };

describe('Suspicion', () => {
  it('runs 24 s alone, 11.381 s with one confirmation and 4 s with two, as LAN defaults have it for ten members', () => {
    const suspicion = new Suspicion(1000, 'a', 10, LAN);
    expect(suspicion.deadlineMs).toBe(25000);
    expect(suspicion.confirm(1000, 'b')).toBe(true);
    expect(suspicion.deadlineMs).toBe(12381);
    expect(suspicion.confirm(1000, 'c')).toBe(true);
    expect(suspicion.deadlineMs).toBe(5000);
  });

  it('does not count the first accuser again, nor anybody twice', () => {
    const suspicion = new Suspicion(0, 'a', 10, LAN);
    expect(suspicion.confirm(1, 'a')).toBe(false);
    expect(suspicion.confirm(1, 'b')).toBe(true);
    expect(suspicion.confirm(2, 'b')).toBe(false);
    expect(suspicion.confirmations).toBe(1);
  });

  it('ignores every accuser beyond the wanted number', () => {
    const suspicion = new Suspicion(0, 'a', 10, LAN);
    const counted = ['b', 'c', 'd', 'e'].map((name) => suspicion.confirm(0, name));
    expect(counted).toEqual([true, true, false, false]);
  });

  it('runs the minimum at once where too few members could confirm', () => {
    const suspicion = new Suspicion(0, 'a', 3, LAN);
    expect([suspicion.wanted, suspicion.deadlineMs]).toEqual([0, 4000]);
    expect(suspicion.confirm(0, 'b')).toBe(false);
  });

  it('is due at once when a confirmation comes after the shortened time is over', () => {
    const suspicion = new Suspicion(0, 'a', 10, LAN);
    suspicion.confirm(5000, 'b');
    expect(suspicion.confirm(6000, 'c')).toBe(true);
    expect(suspicion.deadlineMs).toBe(6000);
  });
});

describe('Awareness', () => {
  it('stays between 0 and one less than the multiplier', () => {
    const awareness = new Awareness(8);
    awareness.apply(-1);
    expect(awareness.score).toBe(0);
    awareness.apply(3);
    expect(awareness.score).toBe(3);
    awareness.apply(100);
    expect(awareness.score).toBe(7);
    awareness.apply(-1);
    expect(awareness.score).toBe(6);
  });
});
