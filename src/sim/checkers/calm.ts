import type { GossipEvent } from '../../protocol/types.ts';
import type { SimNode } from '../sim-node.ts';
import type { Checker, Simulation } from '../simulation.ts';

/**
 * Without failures nothing happens (SWIM §2.2): from `begin()` to `end()` no member event at all, and about one ping and one ack per member and period.
 * For a network that loses nothing, after all have agreed and the last news has been told.
 */
export class CalmChecker implements Checker {
  readonly name = 'calm';
  #since: { readonly nowMs: number; readonly packets: number } | undefined;

  begin(simulation: Simulation): void {
    this.#since = { nowMs: simulation.nowMs, packets: simulation.packetsSent };
  }

  event(node: SimNode, event: GossipEvent, nowMs: number): void {
    if (this.#since === undefined || !('member' in event) || event.type === 'probe') return;
    throw new Error(
      `${this.name}: at ${nowMs} ms ${node.name} heard "${event.type}" of ${event.member.name}, and nothing had happened`,
    );
  }

  /** Throws when more packets were sent than probing takes. `periodMs` is the shortest protocol period of any clock. */
  end(simulation: Simulation, periodMs: number): void {
    const since = this.#since;
    if (since === undefined) throw new Error('hearsay: begin() comes first');
    this.#since = undefined;
    const members = simulation.up.length;
    // A period that has begun counts.
    const periods = Math.ceil((simulation.nowMs - since.nowMs) / periodMs) + 1;
    const most = members > 1 ? 2 * members * periods : 0;
    const sent = simulation.packetsSent - since.packets;
    if (sent > most)
      throw new Error(
        `${this.name}: ${sent} packets in ${periods} periods of ${members} members, expected at most ${most}`,
      );
  }
}
