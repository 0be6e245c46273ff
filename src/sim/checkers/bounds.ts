import { HEADER, QUEUE, QUEUE_ENTRY, TABLE } from '../../kernels/layout.ts';
import { transmitLimit } from '../../protocol/math.ts';
import type { SimNode } from '../sim-node.ts';
import type { Checker, Simulation } from '../simulation.ts';

/** Largest datagram that IPv4 carries. */
const DATAGRAM_BYTES_MAX = 65_507;

/**
 * Nothing is larger than it may be: at every node, after each run, the queue and the table within their capacities, the counters of the queue in step
 * with it, one entry per member at most, and no news sent more often than its limit (protocol §10.3); every packet of news within udpBufferBytes.
 */
export class BoundsChecker implements Checker {
  readonly name = 'bounds';

  packet(node: SimNode, bytes: Uint8Array, nowMs: number): void {
    // A single message may be longer than what news is packed into, but never than a datagram.
    if (bytes.length === 0 || bytes.length > DATAGRAM_BYTES_MAX) {
      throw new Error(`${this.name}: at ${nowMs} ms ${node.name} sent a packet of ${bytes.length} bytes`);
    }
  }

  settle(simulation: Simulation): void {
    for (const node of simulation.up) {
      this.#queue(node, simulation.nodes.size);
      this.#table(node);
    }
  }

  #queue(node: SimNode, members: number): void {
    const { queue } = node.kernels;
    const { u8, u32 } = queue;
    const live = u32[HEADER.live >>> 2] as number;
    const lanes = (u32[QUEUE.laneCount0 >>> 2] as number) + (u32[QUEUE.laneCount1 >>> 2] as number);
    if (live > queue.capacity || live !== lanes) {
      this.#fail(node, `the queue holds ${live} of ${queue.capacity}, its lanes say ${lanes}`);
    }
    const limit = transmitLimit(node.engine.config.retransmitMult, members);
    const keys = new Set<number>();
    const top = u32[QUEUE.entryTop >>> 2] as number;
    for (let entry = 0; entry < top; entry++) {
      const at = queue.entriesOffset + entry * QUEUE_ENTRY.stride;
      if (u8[at + QUEUE_ENTRY.state] === 0) continue;
      const transmits = u32[(at + QUEUE_ENTRY.transmits) >>> 2] as number;
      // What has reached its limit is gone.
      if (transmits >= limit)
        this.#fail(node, `news was sent ${transmits} times and is still queued; the limit is ${limit}`);
      const key = u32[(at + QUEUE_ENTRY.key) >>> 2] as number;
      if (key !== 0 && keys.has(key)) this.#fail(node, `two pieces of news about one member are queued`);
      keys.add(key);
    }
  }

  #table(node: SimNode): void {
    const { table } = node.kernels;
    const rows = table.u32[HEADER.live >>> 2] as number;
    const counted = [TABLE.aliveCount, TABLE.suspectCount, TABLE.deadCount, TABLE.leftCount].reduce(
      (sum, offset) => sum + (table.u32[offset >>> 2] as number),
      0,
    );
    if (rows > table.capacity || rows > node.engine.config.membersMax || rows !== counted) {
      this.#fail(node, `the table holds ${rows} rows of ${table.capacity}, its counters say ${counted}`);
    }
  }

  #fail(node: SimNode, what: string): never {
    throw new Error(`${this.name}: at ${node.name} ${what}`);
  }
}
