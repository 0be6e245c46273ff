import { STATUS } from '../../kernels/contract.ts';
import type { GossipEvent } from '../../protocol/types.ts';
import type { SimNode } from '../sim-node.ts';
import type { Checker, Simulation } from '../simulation.ts';

/**
 * Two promises about incarnations (protocol §1, invariant 1; SWIM §4.2), at every node, for every member it hears of:
 * they never go back while the member is up or suspect; a member that was
 * dead or left comes back only with a higher one, unless it was gone for so long that the observer may have forgotten it (protocol §14.3). A restarted
 * process begins anew, so all promises are per life of the member.
 */
export class IncarnationChecker implements Checker {
  readonly name = 'incarnations';
  /** By "observer life/member life": the last incarnation and status that the observer reported. */
  readonly #last = new Map<string, { incarnation: number; isGone: boolean; goneMs: number }>();
  readonly #lives: (member: string) => SimNode | undefined;

  /** `find` gives the node of a member. */
  constructor(find: (member: string) => SimNode | undefined) {
    this.#lives = find;
  }

  event(node: SimNode, event: GossipEvent, nowMs: number): void {
    if (!('member' in event) || event.type === 'probe' || event.type === 'conflict') return;
    const { name, incarnation, status } = event.member;
    const subject = this.#lives(name);
    // News of an earlier life may still be on its way after a restart; then there is nothing to compare with.
    if (!subject || subject.life !== 1) return;
    const key = `${node.name} ${node.life} ${name}`;
    const last = this.#last.get(key);
    const fail = (what: string): never => {
      throw new Error(
        `${this.name}: at ${nowMs} ms ${node.name} reported ${event.type} of ${name} at incarnation ${incarnation}: ${what}`,
      );
    };
    const localMs = node.localMs(nowMs);
    const isForgotten = last?.isGone === true && localMs - last.goneMs > node.engine.config.gossipToTheDeadMs;
    if (last && !isForgotten && incarnation < last.incarnation) fail(`it had seen ${last.incarnation}`);
    if (last?.isGone && !isForgotten && status === STATUS.alive && incarnation <= last.incarnation)
      fail('dead or left members return only with a higher one');
    const isGone = status === STATUS.dead || status === STATUS.left;
    // The clock runs from the death on; a leave that follows does not start it anew.
    this.#last.set(key, { incarnation, isGone, goneMs: last?.isGone ? last.goneMs : localMs });
  }

  /** For `new Simulation().check(...)`. */
  static of(simulation: Simulation): IncarnationChecker {
    return new IncarnationChecker((name) => simulation.nodes.get(name));
  }
}
