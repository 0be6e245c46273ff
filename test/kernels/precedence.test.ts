// The precedence rules against a table typed by hand from protocol §9.2 to §9.4, first as a pure function, then through both
// engines of the member table, so that precedence.hpp is held to the same table.
import { describe, expect, it } from 'vitest';
import { MERGE_FLAG, STATUS } from '../../src/kernels/contract.ts';
import {
  extContradicts,
  extSupersedes,
  NEWS,
  refutingIncarnation,
  supersedes,
  VERDICT,
} from '../../src/kernels/js/precedence.ts';
import { ROW_FLAG, TABLE } from '../../src/kernels/layout.ts';
import {
  alive,
  bring,
  dead,
  ENGINES,
  nodeState,
  type RecordSpec,
  Rig,
  STATUS_NAMES,
  suspect,
} from './member-table.fixtures.ts';

type Outcome = 'ignore' | 'accept' | 'confirm' | 'refute' | 'refuteIfDifferent';
/** Outcome when the news has a lower, the same, or a higher incarnation than what is known. */
type Outcomes = readonly [Outcome, Outcome, Outcome];

interface Line {
  readonly who: 'other' | 'self';
  readonly known: readonly number[];
  readonly news: 'alive' | 'suspect' | 'dead' | 'left';
  readonly when?: readonly (keyof typeof NEWS)[];
  readonly outcomes: Outcomes;
}

const ANY = [STATUS.alive, STATUS.suspect, STATUS.dead, STATUS.left];
const LIVING = [STATUS.alive, STATUS.suspect];
const GONE = [STATUS.dead, STATUS.left];

const NEVER: Outcomes = ['ignore', 'ignore', 'ignore'];
const TABLE_BY_HAND: readonly Line[] = [
  // §9.2, alive about others: only a higher incarnation counts, whatever the status.
  { who: 'other', known: ANY, news: 'alive', outcomes: ['ignore', 'ignore', 'accept'] },
  // ... a running timer makes no difference, nor does our own leaving or starting.
  {
    who: 'other',
    known: [STATUS.suspect],
    news: 'alive',
    when: ['suspicion'],
    outcomes: ['ignore', 'ignore', 'accept'],
  },
  { who: 'other', known: ANY, news: 'alive', when: ['leaving'], outcomes: ['ignore', 'ignore', 'accept'] },
  { who: 'other', known: ANY, news: 'alive', when: ['bootstrap'], outcomes: ['ignore', 'ignore', 'accept'] },
  // ... a permitted new address of a dead or left member: any incarnation.
  { who: 'other', known: GONE, news: 'alive', when: ['addressUpdate'], outcomes: ['accept', 'accept', 'accept'] },
  // §9.2, alive about ourselves.
  { who: 'self', known: ANY, news: 'alive', outcomes: ['ignore', 'refuteIfDifferent', 'refute'] },
  { who: 'self', known: ANY, news: 'alive', when: ['bootstrap'], outcomes: ['ignore', 'accept', 'accept'] },
  { who: 'self', known: ANY, news: 'alive', when: ['leaving'], outcomes: NEVER },
  { who: 'self', known: ANY, news: 'alive', when: ['leaving', 'bootstrap'], outcomes: NEVER },
  // §9.3, suspect.
  { who: 'other', known: [STATUS.alive], news: 'suspect', outcomes: ['ignore', 'accept', 'accept'] },
  { who: 'other', known: [STATUS.suspect], news: 'suspect', outcomes: NEVER },
  {
    who: 'other',
    known: [STATUS.suspect],
    news: 'suspect',
    when: ['suspicion'],
    outcomes: ['ignore', 'confirm', 'confirm'],
  },
  { who: 'other', known: GONE, news: 'suspect', outcomes: NEVER },
  { who: 'self', known: [STATUS.alive], news: 'suspect', outcomes: ['ignore', 'refute', 'refute'] },
  { who: 'self', known: [STATUS.alive], news: 'suspect', when: ['leaving'], outcomes: ['ignore', 'refute', 'refute'] },
  { who: 'self', known: GONE, news: 'suspect', outcomes: NEVER },
  // §9.4, dead, and left, which is a dead from the member itself.
  { who: 'other', known: LIVING, news: 'dead', outcomes: ['ignore', 'accept', 'accept'] },
  {
    who: 'other',
    known: [STATUS.suspect],
    news: 'dead',
    when: ['suspicion'],
    outcomes: ['ignore', 'accept', 'accept'],
  },
  { who: 'other', known: GONE, news: 'dead', outcomes: NEVER },
  { who: 'other', known: LIVING, news: 'left', outcomes: ['ignore', 'accept', 'accept'] },
  { who: 'other', known: GONE, news: 'left', outcomes: NEVER },
  { who: 'self', known: LIVING, news: 'dead', outcomes: ['ignore', 'refute', 'refute'] },
  { who: 'self', known: LIVING, news: 'left', outcomes: ['ignore', 'refute', 'refute'] },
  { who: 'self', known: LIVING, news: 'dead', when: ['leaving'], outcomes: ['ignore', 'accept', 'accept'] },
  { who: 'self', known: LIVING, news: 'left', when: ['leaving'], outcomes: ['ignore', 'accept', 'accept'] },
  { who: 'self', known: GONE, news: 'dead', when: ['leaving'], outcomes: NEVER },
  { who: 'self', known: GONE, news: 'left', when: ['leaving'], outcomes: NEVER },
];

const KNOWN = 5;
const INCARNATIONS = [4, 5, 6] as const;

describe('supersedes', () => {
  for (const { who, known, news, when = [], outcomes } of TABLE_BY_HAND) {
    const bits = when.reduce((sum, key) => sum | NEWS[key], who === 'self' ? NEWS.self : 0);
    for (const status of known) {
      const circumstances = when.length > 0 ? ` (${when.join(', ')})` : '';
      it(`${STATUS_NAMES[status]} ${who} hears ${news}${circumstances}: ${outcomes.join(', ')}`, () => {
        const verdicts = INCARNATIONS.map((incarnation) => supersedes(status, KNOWN, STATUS[news], incarnation, bits));
        expect(verdicts).toEqual(outcomes.map((outcome) => VERDICT[outcome]));
      });
    }
  }

  it('covers every status, news and party in the plain case', () => {
    const covered = new Set(
      TABLE_BY_HAND.filter(({ when = [] }) => when.length === 0).flatMap(({ who, known, news }) =>
        known.map((status) => `${who} ${status} ${news}`),
      ),
    );
    // Ourselves we never hold for suspect, and for dead or left only while leaving; the table says so where it matters.
    expect(covered.size).toBe(32 - 1 - 4);
  });

  it('ignores a status it does not know', () => {
    expect(supersedes(STATUS.alive, 1, 255, 9, 0)).toBe(VERDICT.ignore);
  });

  it('treats incarnations as unsigned', () => {
    expect(supersedes(STATUS.alive, 0x7fffffff, STATUS.alive, 0x80000000, 0)).toBe(VERDICT.accept);
    expect(supersedes(STATUS.alive, 0xffffffff, STATUS.alive, 0, 0)).toBe(VERDICT.ignore);
  });
});

describe('refutingIncarnation', () => {
  it('is the next one, or one above the accusation, and stays at the largest u32', () => {
    expect(refutingIncarnation(5, 5)).toBe(6);
    expect(refutingIncarnation(5, 6)).toBe(7);
    expect(refutingIncarnation(5, 50)).toBe(51);
    expect(refutingIncarnation(5, 1)).toBe(6);
    expect(refutingIncarnation(5, 0xffffffff)).toBe(0xffffffff);
  });
});

describe('extContradicts', () => {
  const word = (sequence: number, bits: number): number => ((sequence << 8) | bits) >>> 0;

  it('is true for another word that is as new as ours or newer', () => {
    expect(extContradicts(word(1, 1), word(1, 3))).toBe(true);
    expect(extContradicts(word(1, 1), word(0xffffff, 1))).toBe(true);
  });

  it('is false for our own word, older ones, and where either side has none', () => {
    expect(extContradicts(word(2, 1), word(2, 1))).toBe(false);
    expect(extContradicts(word(2, 1), word(1, 3))).toBe(false);
    expect(extContradicts(0, word(1, 3))).toBe(false);
    expect(extContradicts(word(1, 1), 0)).toBe(false);
  });
});

describe('extSupersedes', () => {
  const word = (sequence: number, bits: number): number => ((sequence << 8) | bits) >>> 0;
  it('takes the first word, a higher sequence, or any word of a newer incarnation', () => {
    expect(extSupersedes(0, 5, word(0, 1), 5)).toBe(true);
    expect(extSupersedes(word(1, 1), 5, word(2, 3), 5)).toBe(true);
    expect(extSupersedes(word(9, 1), 5, word(1, 3), 6)).toBe(true);
    expect(extSupersedes(word(0x7fffff, 1), 5, word(0xffffff, 3), 5)).toBe(true);
  });
  it('refuses absence, equal or lower sequences, and words of an older incarnation', () => {
    expect(extSupersedes(word(1, 1), 5, 0, 6)).toBe(false);
    expect(extSupersedes(word(2, 1), 5, word(2, 3), 5)).toBe(false);
    expect(extSupersedes(word(2, 1), 5, word(1, 3), 5)).toBe(false);
    expect(extSupersedes(0, 5, word(9, 1), 4)).toBe(false);
    expect(extSupersedes(word(1, 1), 5, word(9, 1), 4)).toBe(false);
  });
});

const CHANGE_OF: Readonly<Record<string, readonly string[]>> = {
  'ignore any': [],
  'accept alive': ['alive'],
  'accept suspect': ['suspect'],
  'accept dead': ['dead'],
  'accept left': ['dead'],
  'confirm suspect': ['confirm'],
};

for (const engine of ENGINES) {
  describe(`member table, ${engine.name}: the same table by messages and by node states`, () => {
    for (const { who, known, news, when = [], outcomes } of TABLE_BY_HAND) {
      // §9.2 step 1 and the marks of a row are set as the engine would.
      for (const status of who === 'self'
        ? known.filter((s) => s === STATUS.alive || (s !== STATUS.suspect && when.includes('leaving')))
        : known) {
        it(`${STATUS_NAMES[status]} ${who} hears ${news} (${when.join(', ')})`, () => {
          INCARNATIONS.forEach((incarnation, i) => {
            const outcome = outcomes[i] as Outcome;
            for (const record of recordsFor(news, who, incarnation, when.includes('addressUpdate'))) {
              const rig = prepare(who, status, when);
              const before = rig.row(who === 'self' ? 'self' : 'n1');
              rig.merge(2000, [record], when.includes('bootstrap') ? MERGE_FLAG.bootstrap : 0);
              const wanted =
                outcome === 'refute' || outcome === 'refuteIfDifferent'
                  ? ['refute']
                  : CHANGE_OF[`${outcome} ${outcome === 'ignore' ? 'any' : news}`];
              expect(rig.kinds(), `${outcome} at ${incarnation}`).toEqual(wanted);
              const after = rig.row(who === 'self' ? 'self' : 'n1');
              if (outcome === 'ignore' || outcome === 'confirm') expect(after).toEqual(before);
              else if (outcome === 'accept')
                expect([after?.status, after?.incarnation]).toEqual([STATUS[news], incarnation]);
              else expect([after?.status, after?.incarnation]).toEqual([status, Math.max(incarnation, KNOWN) + 1]);
            }
          });
        });
      }
    }
  });

  function prepare(who: 'self' | 'other', status: number, when: readonly string[]): Rig {
    const rig = new Rig(engine);
    rig.start('self', who === 'self' ? KNOWN : 1);
    if (who === 'other') {
      bring(rig, 1000, 'n1', status, KNOWN);
      if (status === STATUS.suspect && !when.includes('suspicion')) rig.clearFlag('n1', ROW_FLAG.suspicion);
    }
    if (when.includes('leaving')) rig.setWord(TABLE.leaving, 1);
    if (who === 'self' && status !== STATUS.alive)
      rig.merge(1000, [dead('self', KNOWN, status === STATUS.left ? 'self' : 'x0')]);
    if (when.includes('addressUpdate')) new Float64Array(rig.table.arena, TABLE.deadReclaimMs, 1)[0] = 500;
    return rig;
  }
}

/** The ways in which this news can arrive. Alive about ourselves brings other metadata than ours. */
function recordsFor(news: Line['news'], who: Line['who'], incarnation: number, moved: boolean): RecordSpec[] {
  const name = who === 'self' ? 'self' : 'n1';
  const ip = who === 'self' ? '10.0.0.1' : moved ? '10.0.0.9' : '10.0.0.2';
  const more = { ip, meta: who === 'self' ? 'other' : '' };
  switch (news) {
    case 'alive':
      return [alive(name, incarnation, more), nodeState(name, incarnation, STATUS.alive, more)];
    case 'suspect':
      return [
        suspect(name, incarnation),
        nodeState(name, incarnation, STATUS.suspect, more),
        nodeState(name, incarnation, STATUS.dead, more),
      ];
    case 'dead':
      return [dead(name, incarnation)];
    default:
      return [dead(name, incarnation, name), nodeState(name, incarnation, STATUS.left, more)];
  }
}
