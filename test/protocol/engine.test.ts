import { describe, expect, it } from 'vitest';
import { STATUS } from '../../src/kernels/contract.ts';
import { Group, pair, text } from '../helpers/pair.ts';

describe('joining', () => {
  it('a node that starts knows itself and says so', () => {
    const group = new Group();
    const a = group.add('a', { meta: text('red') });
    expect(a.story()).toEqual(['join a']);
    expect(a.engine.self).toMatchObject({ name: 'a', incarnation: 1, status: STATUS.alive, vsn: [1, 5, 2, 0, 0, 0] });
    expect(Buffer.from(a.engine.self.meta).toString()).toBe('red');
  });

  it('two nodes know each other after one push/pull', () => {
    const group = new Group();
    const a = group.add('a');
    const b = group.add('b');
    const request = group.act(b, (engine, now) => engine.join(now, [a.address]));
    group.run(10);
    expect(b.done(request)).toEqual({ ok: true, detail: '1' });
    expect(a.story()).toEqual(['join a', 'join b']);
    expect(b.story()).toEqual(['join b', 'join a']);
  });

  it('a third node learns of the second by gossip', () => {
    const group = new Group();
    group.add('a');
    group.add('b');
    group.add('c');
    expect(group.joinAll()).toBeLessThan(2000);
  });

  it('a join is not ok when nobody answers, and says why', () => {
    const group = new Group();
    const a = group.add('a');
    const request = group.act(a, (engine, now) => engine.join(now, [{ ip: Uint8Array.of(10, 9, 9, 9), port: 1 }]));
    group.run(20_000);
    expect(a.done(request)).toEqual({ ok: false, detail: 'timed out' });
  });
});

describe('failure detection', () => {
  it('a live pair stays alive for an hour', () => {
    const { group, a, b } = pair();
    group.run(3_600_000);
    expect([a.status('b'), b.status('a')]).toEqual([STATUS.alive, STATUS.alive]);
    expect(a.story()).toEqual(['join a', 'join b']);
    expect(a.engine.stats.probesFailed).toBe(0);
    expect(a.engine.stats.probesSent).toBeGreaterThan(3500);
  });

  it('a crashed member is suspected and then dead', () => {
    const { group, a, b } = pair();
    group.crash('b');
    void b;
    group.until(() => a.status('b') === STATUS.suspect, 5000);
    group.until(() => a.status('b') === STATUS.dead, 30_000);
    expect(a.story()).toEqual(['join a', 'join b', 'suspect b', 'dead b']);
  });
});
