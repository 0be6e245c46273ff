import { MESSAGE, REJECT } from '../kernels/contract.ts';
import { type Address, sameHost } from '../util/address.ts';
import { bytesEqual } from '../util/bytes.ts';
import { decodeMessage, readUserHeader } from '../wire/decode.ts';
import { encodeAck } from '../wire/messages.ts';
import { MsgpackReader } from '../wire/msgpack.ts';
import type { Context } from './context.ts';
import type { DeltaSync } from './delta-sync.ts';
import type { PushPull } from './push-pull.ts';
import { countReject } from './stats.ts';

const ACK_BYTES_MAX = 64;

/** Answers the messages of streams that others opened to us, one each (protocol §7.5), or two with delta push-pull. */
export class Acceptor {
  readonly #context: Context;
  readonly #pushPull: PushPull;
  readonly #sync: DeltaSync;

  constructor(context: Context, pushPull: PushPull, sync: DeltaSync) {
    this.#context = context;
    this.#pushPull = pushPull;
    this.#sync = sync;
  }

  /** The plain answer; undefined = close without a word. */
  handle(nowMs: number, from: Address, message: Uint8Array): Uint8Array | undefined {
    switch (message[0]) {
      case MESSAGE.pushPull:
        return this.#pushPull.answer(nowMs, message);
      case MESSAGE.user:
      case MESSAGE.state:
        this.#user(from, message);
        return undefined;
      case MESSAGE.ping:
        return this.#ping(message);
      case MESSAGE.sync:
        if (!this.#context.config.deltaSync) return this.#refuse(REJECT.unknownType);
        return this.#sync.accept(nowMs, message).answer;
      default:
        return this.#refuse(message.length === 0 ? REJECT.empty : REJECT.unknownType);
    }
  }

  #user(from: Address, message: Uint8Array): void {
    const reader = new MsgpackReader(message, 1);
    const { length, from: claimed } = readUserHeader(reader);
    if (!reader.ok || length < 0 || reader.pos + length > message.length) {
      this.#refuse(reader.ok ? REJECT.truncated : reader.status);
      return;
    }
    if (length === 0) return;
    const isState = message[0] === MESSAGE.state;
    // To who cannot say that it has replicated maps nobody sends state.
    if (isState && !this.#context.self.replicates) return;
    if (isState) this.#context.stats.stateMessagesReceived++;
    else this.#context.stats.userMessagesReceived++;
    this.#context.emit({
      type: isState ? 'state' : 'message',
      from: isState ? this.#claimant(claimed, from) : this.#sender(claimed, from),
      address: { ip: from.ip.slice(), port: from.port },
      payload: message.slice(reader.pos, reader.pos + length),
      via: 'stream',
    });
  }

  /** The name that the sender gave, when a member of that name has that IP; else the only member with it; else ''. */
  #sender(claimed: Uint8Array, from: Address): string {
    const { roster } = this.#context;
    const slot = claimed.length > 0 ? roster.find(claimed) : -1;
    return slot >= 0 && sameHost(roster.address(slot).ip, from.ip) ? roster.name(slot) : roster.nameAtIp(from.ip);
  }

  /**
   * Who says so, when it is a member: state goes between members that have each other's address already, and a stream may come from another address of a machine with several.
   */
  #claimant(claimed: Uint8Array, from: Address): string {
    const { roster } = this.#context;
    const slot = claimed.length > 0 ? roster.find(claimed) : -1;
    return slot >= 0 ? roster.name(slot) : this.#sender(claimed, from);
  }

  /** The fallback ping; its ack never has a payload. */
  #ping(message: Uint8Array): Uint8Array | undefined {
    const { self, stats } = this.#context;
    const ping = decodeMessage(message);
    if (typeof ping === 'number' || ping.type !== 'ping')
      return this.#refuse(typeof ping === 'number' ? ping : REJECT.malformed);
    if (ping.node.length > 0 && !bytesEqual(ping.node, self.name)) {
      stats.pingsForOthers++;
      return undefined;
    }
    const out = new Uint8Array(ACK_BYTES_MAX);
    return out.subarray(0, encodeAck(out, 0, { seqNo: ping.seqNo, payload: null, ext: self.ext }));
  }

  #refuse(code: number): undefined {
    this.#context.stats.streamsRejected++;
    countReject(this.#context.stats, code);
    return undefined;
  }
}
