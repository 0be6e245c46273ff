import type { GossipEvent } from '../../protocol/types.ts';
import type { SimNode } from '../sim-node.ts';
import type { Checker, Simulation } from '../simulation.ts';

interface Counts {
  readonly probes: number;
  readonly failed: number;
  /** Packets but those of gossip ticks. */
  readonly packets: number;
}

/** How many standard deviations above its mean a count may be. */
const SIGMAS = 4;
/** And so many more, for means below one. */
const SLACK = 3;

/**
 * With packet loss and no failure, no more false suspicions and no more packets than the formulas say (SWIM §3.1, §5.1), from `begin()` to `end()`,
 * and nobody declared dead. A probe fails when the way to the member and back lost a packet, and so did each of the k ways of four hops through others; where
 * streams are tried too, never.
 */
export class SuspicionChecker implements Checker {
  readonly name = 'suspicions';
  #before: Counts | undefined;

  begin(simulation: Simulation): void {
    this.#before = count(simulation);
  }

  event(node: SimNode, event: GossipEvent, nowMs: number): void {
    if (this.#before === undefined || event.type !== 'dead') return;
    throw new Error(`${this.name}: at ${nowMs} ms ${node.name} declared ${event.member.name} dead, whose process runs`);
  }

  /** `loss` is the share of packets that were lost. */
  end(simulation: Simulation, loss: number): void {
    const before = this.#before;
    if (before === undefined) throw new Error('hearsay: begin() comes first');
    this.#before = undefined;
    const after = count(simulation);
    const [first] = simulation.up;
    if (first === undefined) return;
    const { indirectChecks, disableTcpPings } = first.engine.config;
    const ways = Math.max(0, Math.min(indirectChecks, simulation.up.length - 2));
    const probes = after.probes - before.probes;
    const lostDirectly = 1 - (1 - loss) ** 2;
    const lostIndirectly = disableTcpPings ? (1 - (1 - loss) ** 4) ** ways : 0;
    this.#compare('failed probes', after.failed - before.failed, probes * lostDirectly * lostIndirectly);
    // Ping and ack; for each way a request, a ping, an ack and its forwarding, or a nack; answers to probes that began before.
    const packets = 2 * probes + probes * lostDirectly * 5 * ways + 2 * simulation.up.length;
    this.#compare('packets', after.packets - before.packets, packets);
  }

  #compare(what: string, counted: number, mean: number): void {
    const most = mean + SIGMAS * Math.sqrt(mean) + SLACK;
    if (counted > most) {
      throw new Error(`${this.name}: ${counted} ${what}, expected ${mean.toFixed(1)} and at most ${most.toFixed(1)}`);
    }
  }
}

function count({ up }: Simulation): Counts {
  let probes = 0;
  let failed = 0;
  let packets = 0;
  for (const { engine } of up) {
    const { stats } = engine;
    probes += stats.probesSent;
    failed += stats.probesFailed;
    packets += stats.packetsSent - stats.gossipPackets;
  }
  return { probes, failed, packets };
}
