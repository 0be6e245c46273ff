import { EXT, STATUS } from '../contract.ts';

/**
 * Which news replaces what we know (protocol §9.2 to §9.5, SWIM section 4.2). These pure functions are the only place where incarnations are
 * compared; native/kernels/precedence.hpp holds the same ones.
 */

/** What a piece of news about a member does. */
export const VERDICT = {
  /** Old or without effect. */
  ignore: 0,
  /** Take it over and pass it on. */
  accept: 1,
  /** One more accuser for a suspicion that is running. */
  confirm: 2,
  /** It is about us and wrong: answer with a higher incarnation. */
  refute: 3,
  /** It is about us at our own incarnation: refute if its metadata or versions are not ours, else ignore. */
  refuteIfDifferent: 4,
} as const;
export type Verdict = (typeof VERDICT)[keyof typeof VERDICT];

/** Circumstances that change a verdict. */
export const NEWS = {
  /** About the local member. */
  self: 1,
  /** A suspicion timer of the member is running. */
  suspicion: 2,
  /** The local member has called leave. */
  leaving: 4,
  /** Our own start or metadata update (§9.2 step 9). */
  bootstrap: 8,
  /** A dead or left member may take a new address (§9.2 step 5); any incarnation will do then. */
  addressUpdate: 16,
} as const;

/**
 * The verdict on news that a member known as (knownStatus, knownIncarnation) is (newStatus, newIncarnation). `news` is a
 * combination of NEWS bits. dead and left are one kind of news: which of them it becomes is decided by who said it.
 */
export function supersedes(
  knownStatus: number,
  knownIncarnation: number,
  newStatus: number,
  newIncarnation: number,
  news: number,
): Verdict {
  const isSelf = (news & NEWS.self) !== 0;
  switch (newStatus) {
    case STATUS.alive:
      if (isSelf) {
        if ((news & NEWS.leaving) !== 0 || newIncarnation < knownIncarnation) return VERDICT.ignore;
        if ((news & NEWS.bootstrap) !== 0) return VERDICT.accept;
        return newIncarnation === knownIncarnation ? VERDICT.refuteIfDifferent : VERDICT.refute;
      }
      // An alive at the incarnation of a suspicion does not end it: only the accused may, by raising its incarnation.
      return newIncarnation > knownIncarnation || (news & NEWS.addressUpdate) !== 0 ? VERDICT.accept : VERDICT.ignore;
    case STATUS.suspect:
      if (newIncarnation < knownIncarnation) return VERDICT.ignore;
      if ((news & NEWS.suspicion) !== 0) return VERDICT.confirm;
      if (knownStatus !== STATUS.alive) return VERDICT.ignore;
      // Also while leaving: silence would let the accuser declare us dead before our leave arrives.
      return isSelf ? VERDICT.refute : VERDICT.accept;
    case STATUS.dead:
    case STATUS.left:
      if (newIncarnation < knownIncarnation) return VERDICT.ignore;
      if (knownStatus === STATUS.dead || knownStatus === STATUS.left) return VERDICT.ignore;
      return isSelf && (news & NEWS.leaving) === 0 ? VERDICT.refute : VERDICT.accept;
    default:
      return VERDICT.ignore;
  }
}

/**
 * The incarnation that answers an accusation (§9.5): the next one, or one above the accusation. It stays at the largest u32
 * instead of starting over at 0, which everybody would take for old news.
 */
export function refutingIncarnation(ownIncarnation: number, accusedIncarnation: number): number {
  return Math.min(0xffffffff, Math.max(accusedIncarnation, ownIncarnation) + 1);
}

/**
 * Whether an extension word that came with an alive message replaces the one we know: it must not come from an older life of
 * the member, and must be the first, or of a newer life, or of a higher sequence (bits 8..31).
 */
export function extSupersedes(
  knownExt: number,
  knownIncarnation: number,
  newExt: number,
  newIncarnation: number,
): boolean {
  if (newExt === 0 || newExt === knownExt || newIncarnation < knownIncarnation) return false;
  if (knownExt === 0 || newIncarnation > knownIncarnation) return true;
  return newExt >>> EXT.sequenceShift > knownExt >>> EXT.sequenceShift;
}

/**
 * Whether a word that others hold of us at our own incarnation is one of an earlier life: another than ours, and not older than it. What we say
 * at this incarnation would never replace it, so it is refuted. A word that only lags behind ours is not.
 */
export function extContradicts(ownExt: number, claimedExt: number): boolean {
  if (ownExt === 0 || claimedExt === 0 || claimedExt === ownExt) return false;
  return claimedExt >>> EXT.sequenceShift >= ownExt >>> EXT.sequenceShift;
}
