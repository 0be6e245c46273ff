// A user's service: sends each key to one member, chosen by rendezvous hashing among those that this node holds for alive. It knows nothing of
// clusters; whoever has members and their changes can drive it: a Cluster in production, a simulated node in tests.

export class ShardRouter {
  #alive = new Set();

  constructor(self) {
    this.#alive.add(self);
  }

  /** For cluster.on('join' | 'alive', ...) and for 'join' and 'alive' events of a simulated node. */
  appeared(name) {
    this.#alive.add(name);
  }

  /** For 'dead' and 'leave'. */
  vanished(name) {
    this.#alive.delete(name);
  }

  /** Who serves this key. */
  ownerOf(key) {
    let best = '';
    let bestScore = -1;
    for (const name of this.#alive) {
      const score = hash(`${name}/${key}`);
      if (score > bestScore || (score === bestScore && name > best)) {
        best = name;
        bestScore = score;
      }
    }
    return best;
  }
}

function hash(text) {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  value ^= value >>> 15;
  return Math.imul(value, 0x2c1b3c6d) >>> 0;
}
