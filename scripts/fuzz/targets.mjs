// What is fed. Each target takes inputs, counts what came of them by reason, and throws a Finding when a promise is broken.
import { chooseBackend, TURN_CODEC_SIZES } from '../../dist/kernels/backend.js';
import { REJECT } from '../../dist/kernels/contract.js';
import { PACKET } from '../../dist/kernels/layout.js';
import { lan } from '../../dist/protocol/config.js';
import { GossipEngine } from '../../dist/protocol/engine.js';
import { REFUSED } from '../../dist/state/reconcile/port.js';
import { bytesOf, toHex } from '../../dist/util/bytes.js';
import { Keyring } from '../../dist/wire/keyring.js';
import { PacketSeal } from '../../dist/wire/packet.js';
import { StreamSeal } from '../../dist/wire/stream.js';
import { compressed, encryptedPacket } from './inputs.mjs';

export const REASONS = [...new Set(['accepted', ...Object.keys(REJECT).slice(1), ...Object.keys(REFUSED)])];

/** A broken promise, with the input that broke it. */
export class Finding extends Error {
  constructor(what, input) {
    super(`${what}\n  input: ${toHex(input)}`);
  }
}

/** Counts per reason; a code that has no name is a finding. */
export class Counts {
  byReason = new Array(REASONS.length).fill(0);
  total = 0;

  add(code, input) {
    if (!Number.isInteger(code) || code < 0 || code >= REASONS.length)
      throw new Finding(`code ${code} has no name`, input);
    this.byReason[code]++;
    this.total++;
  }
}

/** The packet codec, all backends on the same datagrams: same results, same bytes left behind. */
export class CodecTarget {
  name = 'codec';
  counts = new Counts();
  #codecs;

  constructor(backends) {
    const sizes = { packetCapacity: 32, recordCapacity: 384, inboxBytes: 32 * 4200, scratchBytes: 24 * 1024 };
    this.#codecs = backends.map((backend) => backend.createPacketCodec(sizes));
  }

  run(inputs) {
    const batch = Array.from({ length: 32 }, () => inputs.datagram());
    const [first, ...others] = this.#codecs;
    for (const codec of this.#codecs) {
      deliver(codec, batch);
      codec.index(batch.length);
    }
    const codes = batch.map((bytes, i) => {
      const code = resultOf(first, i);
      this.counts.add(code, bytes);
      return code;
    });
    for (const other of others) {
      if (Buffer.compare(first.u8, other.u8) === 0) continue;
      const i = Math.max(
        0,
        codes.findIndex((code, k) => code !== resultOf(other, k)),
      );
      throw new Finding(
        `${first.backend} and ${other.backend} leave different bytes (batch of ${batch.length})`,
        batch[i],
      );
    }
    return batch.length;
  }
}

const NO_LABEL = new Uint8Array(0);

function sealOptions(key, label, overrides = {}) {
  return {
    keyring: key === null ? undefined : Keyring.create([], key),
    label: bytesOf(label),
    protocolVersion: 2,
    verifyIncoming: true,
    verifyOutgoing: true,
    compression: true,
    skipInboundLabelCheck: false,
    // Repeatable: the same run encrypts to the same bytes.
    nonces: (out) => out.fill(7),
    ...overrides,
  };
}

/** One object per key and label that the recordings use. */
class PerSecret {
  #made = new Map();
  #make;

  constructor(make) {
    this.#make = make;
  }

  get(key, label) {
    const id = `${key === null ? '' : toHex(key)} ${label}`;
    let found = this.#made.get(id);
    if (!found) {
      found = this.#make(key, label);
      this.#made.set(id, found);
    }
    return found;
  }
}

/** Label and encryption of packets. */
export class SealTarget {
  name = 'seal';
  counts = new Counts();
  #seals = new PerSecret((key, label) => new PacketSeal(sealOptions(key, label)));

  run(inputs) {
    for (let i = 0; i < 16; i++) {
      const { bytes, key, label } = inputs.pick(inputs.corpus.sealed);
      const seal = this.#seals.get(key, label);
      let input;
      if (key === null || inputs.below(2) === 0) input = inputs.damaged(bytes);
      else {
        input = encryptedPacket(inputs.datagram(), key, inputs.below(2), bytesOf(label), (out) =>
          inputs.prng.fill(out),
        );
        if (inputs.below(2) === 0) input = inputs.damaged(input);
      }
      const plain = seal.open(input);
      if (typeof plain !== 'number' && plain.length > input.length)
        throw new Finding('a packet grew when opened', input);
      this.counts.add(typeof plain === 'number' ? -plain : 0, input);
    }
    return 16;
  }
}

/** Reading one message from a stream, in pieces. */
export class StreamTarget {
  name = 'stream';
  counts = new Counts();
  #seals = new PerSecret((key, label) => new StreamSeal(sealOptions(key, label)));

  run(inputs) {
    for (let i = 0; i < 16; i++) {
      const { bytes, key, label, isFirst } = inputs.pick(inputs.corpus.streams);
      const seal = this.#seals.get(key, label);
      let input = inputs.damaged(bytes);
      if (inputs.below(3) === 0) {
        const inner = inputs.damaged(inputs.pick(inputs.corpus.streamsPlain).bytes);
        if (inner.length > 0) input = seal.wrap(inputs.below(2) === 0 ? compressed(inner) : inner, isFirst);
      }
      const result = readStream(seal.reader(isFirst), input, pieceOf(input, inputs));
      this.counts.add(result.kind === 'error' ? result.code : 0, input);
    }
    return 16;
  }
}

/** Bytes that arrive at a time: all, some, or one. */
function pieceOf(input, inputs) {
  return [Math.max(1, input.length), 1 + inputs.below(64), 1][inputs.below(3)];
}

function readStream(reader, input, piece) {
  for (let at = 0; at < input.length; at += piece) {
    const result = reader.push(input.subarray(at, at + piece));
    if (result !== 'more') return result;
  }
  return reader.finish();
}

const HOSTS = 64;

/**
 * Whole engines, one per backend, driven in virtual time with the same inputs. A rejected input leaves every arena of the member
 * table as it was and is counted once; nothing that arrives throws; the table stays within membersMax.
 */
export class EngineTarget {
  name = 'engine';
  counts = new Counts();
  #engines;
  #codec;
  #now = 1000;

  constructor(backends, seed) {
    // Tells what an engine ought to do with a datagram.
    this.#codec = backends[0].createPacketCodec(TURN_CODEC_SIZES);
    this.#engines = backends.map((backend) => {
      const kernels = backend.createEngineKernels({ rngSeed: seed });
      const engine = new GossipEngine(
        lan({
          name: 'alpha',
          address: { ip: Uint8Array.of(10, 0, 0, 1), port: 7946 },
          rngSeed: seed,
          membersMax: 128,
          gossipToTheDeadMs: 2000,
          nonces: (out) => out.fill(7),
        }),
        kernels,
      );
      engine.start(this.#now);
      return { engine, kernels, before: new Snapshot() };
    });
  }

  run(inputs) {
    for (let i = 0; i < 16; i++) {
      const host = inputs.below(HOSTS);
      const from = { ip: Uint8Array.of(10, 0, 1, host), port: 7946 };
      if (inputs.below(8) === 0) this.#stream(inputs, from);
      else this.#packet(inputs.datagram(), from);
    }
    this.#now += inputs.below(200);
    for (const { engine, kernels } of this.#engines) {
      engine.handleTimeout(this.#now);
      drain(engine, this.#now);
      if (engine.memberCount > 128) throw new Finding(`${engine.memberCount} members`, NO_LABEL);
      if (kernels.table.arena.byteLength > 1 << 20)
        throw new Finding('the member table has grown beyond its limit', NO_LABEL);
    }
    return 16;
  }

  #packet(bytes, from) {
    deliver(this.#codec, [bytes]);
    this.#codec.index(1);
    const code = resultOf(this.#codec, 0);
    this.counts.add(code, bytes);
    for (const { engine, kernels, before } of this.#engines) {
      const rejectedBefore = rejections(engine);
      if (code !== 0) before.take(kernels);
      engine.handlePacket(this.#now, from, bytes);
      const counted = rejections(engine) - rejectedBefore;
      // The codec takes any bytes as a rumor; the engine may still find that its framing is none.
      if (code !== 0 && counted !== 1) throw new Finding(`counted ${counted} rejections of ${REASONS[code]}`, bytes);
      if (code !== 0 && !before.equals(kernels))
        throw new Finding(`members changed by a packet (${REASONS[code]})`, bytes);
      drain(engine, this.#now);
    }
  }

  #stream(inputs, from) {
    const input = inputs.damaged(inputs.pick(inputs.corpus.streamsPlain).bytes);
    const piece = pieceOf(input, inputs);
    let counted = false;
    for (const { engine, kernels, before } of this.#engines) {
      const rejectedBefore = rejections(engine);
      before.take(kernels);
      const result = readStream(engine.streamReader(true), input, piece);
      if (result.kind === 'error') engine.noteStreamError(result.code);
      else engine.handleStream(this.#now, from, result.message);
      const rejected = rejections(engine) - rejectedBefore;
      if (rejected > 1 || (result.kind === 'error' && rejected !== 1))
        throw new Finding(`counted ${rejected} rejections`, input);
      if (rejected === 1 && !before.equals(kernels)) throw new Finding('members changed by a rejected stream', input);
      if (!counted) this.counts.add(result.kind === 'error' ? result.code : 0, input);
      counted = true;
      drain(engine, this.#now);
    }
  }
}

/** Everything the member table is made of, at one moment. */
class Snapshot {
  #copies = [];

  take({ table, names, profiles }) {
    this.#copies = [table, names, profiles].map(({ u8 }, i) => {
      const old = this.#copies[i];
      if (old?.length !== u8.length) return Buffer.from(u8);
      old.set(u8);
      return old;
    });
  }

  equals({ table, names, profiles }) {
    return [table, names, profiles].every(({ u8 }, i) => Buffer.compare(u8, this.#copies[i]) === 0);
  }
}

function rejections(engine) {
  let sum = 0;
  const { rejected } = engine.stats;
  for (const reason in rejected) sum += rejected[reason];
  return sum;
}

/** What a driver does after each call; nothing gets through, so all that the engine asks for fails. */
function drain(engine, now) {
  while (engine.pollTransmit() !== undefined);
  for (let request = engine.pollStream(); request !== undefined; request = engine.pollStream()) {
    engine.handleStreamFailure(now, request.id, 'refused');
  }
  while (engine.pollEvent() !== undefined);
}

function deliver(codec, batch) {
  let at = codec.inboxOffset;
  batch.forEach((bytes, i) => {
    codec.u8.set(bytes, at);
    const word = (codec.packetsOffset + i * PACKET.stride) >>> 2;
    codec.u32[word + (PACKET.offset >>> 2)] = at;
    codec.u32[word + (PACKET.length >>> 2)] = bytes.length;
    at += bytes.length;
  });
}

function resultOf(codec, i) {
  return 0 - (codec.u32[(codec.packetsOffset + i * PACKET.stride + PACKET.result) >>> 2] | 0);
}

/** Both backends where the addon is there, else the twins alone. */
export function availableBackends() {
  const auto = chooseBackend('auto');
  return auto.name === 'native' ? [auto, chooseBackend('js')] : [auto];
}
