// The least that joining can cost: one message with the states of all members, merged by a member that has just joined and knows nobody.
import { chooseBackend } from '../../dist/kernels/backend.js';
import { PROFILES } from '../../dist/protocol/config.js';
import { GossipEngine } from '../../dist/protocol/engine.js';
import { addressOf, nameOf } from '../../dist/loadtest/addresses.js';
import { introduction } from '../../dist/loadtest/introduction.js';

const PORTS = [7946];
/** Engines that are measured, after as many that are not. */
const ROUNDS = 100;

/** As in a shard of the load test: engines of a thread share what is the same for all. */
let shared;

function engineOf(index, members) {
  const kernels = chooseBackend(undefined).createEngineKernels({ rngSeed: index, compact: true, maxMembers: members, ...shared });
  shared ??= kernels;
  const config = PROFILES.fast({ compression: false, nonces: () => {}, name: nameOf(index), address: addressOf(index, PORTS), rngSeed: index });
  const engine = new GossipEngine(config, kernels);
  engine.start(0);
  return engine;
}

/** us of processor for each member that somebody learns of from somebody's state, on average. */
export function mergeFloorUs(members) {
  const { self } = engineOf(0, members);
  const message = introduction(members, PORTS, { vsn: Uint8Array.from(self.vsn), ext: self.ext });
  let spentMs = 0;
  for (let round = 0; round < 2 * ROUNDS; round++) {
    const engine = engineOf(round + 1, members);
    const began = performance.now();
    engine.join(0, [addressOf(0, PORTS)]);
    const request = engine.pollStream();
    engine.handleStreamReply(1, request.id, message);
    // A large state is merged over several turns.
    for (let now = 2; engine.memberCount < members; now++) {
      if (now > 10_000) throw new Error(`only ${engine.memberCount} of ${members} members were merged`);
      engine.handleTimeout(now);
    }
    while (engine.pollEvent()) {
      // That it has heard of all is no news.
    }
    if (round >= ROUNDS) spentMs += performance.now() - began;
  }
  return (1000 * spentMs) / (ROUNDS * members);
}
