import { ChecksumFirstConversation } from './checksum-first.ts';
import { PeelBackConversation } from './peel-back.ts';
import type { Strategy } from './port.ts';
import { type RangePlan, rangeStrategy } from './range-conversation.ts';
import { ScuttlebuttConversation } from './scuttlebutt.ts';

/** First bytes of messages. Append only: never renumber. */
export const STRATEGY_ID = { range: 1, merkle: 2, scuttlebutt: 3, peelBack: 4, checksumFirst: 5 } as const;

/**
 * Ranges of the hash space, split as far as the number of records asks for. 256 parts of the root in the opening, then 16 each: measured against 16 to 1,024
 * and 4 to 64 (docs/reconciliation.md).
 */
export const RANGE_PLAN: RangePlan = {
  name: 'range',
  id: STRATEGY_ID.range,
  openBits: 8,
  splitBits: 4,
  leafItems: 32,
  leafDepth: 32,
  sumWords: 1,
  idWords: 1,
};

/** The tree of Riak's active anti-entropy: 2^20 segments, 1,024 children per node, hashes in full (riak_core, hashtree.erl). */
export const MERKLE_PLAN: RangePlan = {
  name: 'merkle',
  id: STRATEGY_ID.merkle,
  openBits: 0,
  splitBits: 10,
  leafItems: 0,
  leafDepth: 20,
  sumWords: 2,
  idWords: 2,
};

export const RANGE: Strategy = rangeStrategy(RANGE_PLAN);
export const MERKLE: Strategy = rangeStrategy(MERKLE_PLAN);
/** Does not find everything: see ScuttlebuttConversation. */
export const SCUTTLEBUTT: Strategy = {
  name: 'scuttlebutt',
  id: STRATEGY_ID.scuttlebutt,
  converse: (store, options) => new ScuttlebuttConversation(store, { ...options, id: STRATEGY_ID.scuttlebutt }),
};

/** Needs a store with a list of what is recent. */
export const PEEL_BACK: Strategy = {
  name: 'peel-back',
  id: STRATEGY_ID.peelBack,
  converse: (store, options) => new PeelBackConversation(store, { ...options, id: STRATEGY_ID.peelBack }),
};

/** The default: chosen by measurement, see docs/reconciliation.md. */
export const CHECKSUM_FIRST: Strategy = {
  name: 'checksum-first',
  id: STRATEGY_ID.checksumFirst,
  converse: (store, options) =>
    new ChecksumFirstConversation(store, options, {
      id: STRATEGY_ID.checksumFirst,
      versions: SCUTTLEBUTT,
      full: RANGE,
      writersMax: 256,
    }),
};

export const STRATEGIES: readonly Strategy[] = [CHECKSUM_FIRST, RANGE, MERKLE, SCUTTLEBUTT, PEEL_BACK];
