import { HEADER } from '../kernels/layout.ts';
import type { GossipEvent } from '../protocol/types.ts';
import { PeerTracker } from '../state/peers.ts';
import { Replicator } from '../state/replicator.ts';
import type { SimNode } from './sim-node.ts';
import type { Timeline } from './timeline.ts';

/** Maps of one life of a simulated node: what src/cluster/maps.ts is to a real one. */
export class SimMaps {
  readonly replicator: Replicator;
  readonly #node: SimNode;
  readonly #life: number;
  readonly #timeline: Timeline;
  readonly #drain: () => void;
  readonly #peers = new PeerTracker();
  /** Requests of the engine whose outcome a replicator wants. */
  readonly #requests = new Map<number, number>();
  #isAwake = false;
  #armedMs = Number.POSITIVE_INFINITY;
  /** The table's count of changes when it was last looked at. */
  #changeCount = -1;

  /** `drain` carries out what the node wants done. */
  constructor(node: SimNode, seed: number, timeline: Timeline, drain: () => void) {
    this.#node = node;
    this.#life = node.life;
    this.#timeline = timeline;
    this.#drain = drain;
    this.replicator = new Replicator({
      node: node.name,
      now: () => node.wallMs(timeline.nowMs),
      seed,
      wake: () => this.#wake(),
    });
    node.engine.setReplicates(node.localMs(timeline.nowMs), true);
    drain();
  }

  notice(event: GossipEvent): void {
    if (event.type === 'state') this.replicator.receive(this.#nowMs, event.from, event.payload);
    else if (event.type === 'done') {
      const id = this.#requests.get(event.request);
      if (id === undefined) return;
      this.#requests.delete(event.request);
      this.replicator.sent(this.#nowMs, id, event.ok);
    } else return;
    this.#wake();
  }

  get #nowMs(): number {
    return this.#node.wallMs(this.#timeline.nowMs);
  }

  #wake(): void {
    if (this.#isAwake) return;
    this.#isAwake = true;
    this.#timeline.at(0, this.#node, () => this.#turn());
  }

  #turn(): void {
    this.#isAwake = false;
    if (this.#node.life !== this.#life) return;
    const nowMs = this.#nowMs;
    const { engine } = this.#node;
    // Not by events: that somebody has opened a map is none.
    const changeCount = this.#node.kernels.table.u32[HEADER.changeCount >>> 2] as number;
    if (changeCount !== this.#changeCount) {
      this.#changeCount = changeCount;
      this.replicator.setPeers(nowMs, this.#peers.of(nowMs, engine.members()));
    }
    if ((this.replicator.dueMs ?? Number.POSITIVE_INFINITY) <= nowMs) this.replicator.tick(nowMs);
    while (this.replicator.work(nowMs)) this.#flush();
    this.#flush();
    this.#drain();
    this.#arm(nowMs);
  }

  #flush(): void {
    const { engine } = this.#node;
    const localMs = this.#node.localMs(this.#timeline.nowMs);
    for (let message = this.replicator.poll(); message; message = this.replicator.poll()) {
      const { to, bytes, isReliable, id } = message;
      if (engine.member(to) === undefined) {
        if (id !== 0) this.replicator.sent(this.#nowMs, id, false);
        continue;
      }
      const request = engine.sendState(localMs, to, bytes, isReliable);
      if (id !== 0) this.#requests.set(request, id);
    }
  }

  #arm(nowMs: number): void {
    const dueMs = this.replicator.dueMs;
    if (dueMs === undefined || dueMs >= this.#armedMs) return;
    this.#armedMs = dueMs;
    this.#timeline.at(Math.max(1, (dueMs - nowMs) * this.#node.msPerTick), this.#node, () => {
      this.#armedMs = Number.POSITIVE_INFINITY;
      this.#wake();
    });
  }
}
