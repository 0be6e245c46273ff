import { MESSAGE, META_BYTES_MAX, PICK, STATUS } from '../kernels/contract.ts';
import { TABLE } from '../kernels/layout.ts';
import type { Address } from '../util/address.ts';
import { bytesOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';
import { encodeDead, encodePing, encodeUser, encodeUserHeader } from '../wire/messages.ts';
import { STREAM_LIMITS } from '../wire/stream-body.ts';
import { type Averagings, CYCLES_MAX } from './averaging.ts';
import { UDP_BUFFER_BYTES_MAX } from './config.ts';
import type { Context } from './context.ts';
import type { Dissemination } from './dissemination.ts';
import type { Membership } from './membership.ts';
import { type Outbox, SEND } from './outbox.ts';
import { PING_BYTES_MAX, type Prober } from './prober.ts';
import type { PushPull } from './push-pull.ts';
import type { Sequences } from './sequences.ts';
import type { Streams } from './streams.ts';
import { TIMER } from './timers.ts';

const CRC_HEADER_BYTES = 5;
/** Members that a leaving one tells directly. */
const GOODBYES = 16;

export interface CommandParts {
  readonly context: Context;
  readonly membership: Membership;
  readonly news: Dissemination;
  readonly outbox: Outbox;
  readonly averagings: Averagings;
  readonly prober: Prober;
  readonly pushPull: PushPull;
  readonly sequences: Sequences;
  readonly streams: Streams;
  /** Bytes that label and encryption add to a packet. */
  readonly overheadBytes: () => number;
}

/**
 * What a program asks of the engine (protocol §15). Each command but broadcast() returns a request id, and one 'done' event
 * with that id follows, perhaps in the same turn.
 */
export class Commands {
  readonly #parts: CommandParts;
  readonly #context: Context;
  /** Requests that wait for a broadcast, by its token. */
  readonly #awaited = new Map<number, number>();
  readonly #pings = new Map<number, { request: number; sentMs: number; token: number }>();
  #lastRequest = 0;
  #lastToken = 0;
  #hasLeft = false;

  constructor(parts: CommandParts) {
    this.#parts = parts;
    this.#context = parts.context;
  }

  join(nowMs: number, addresses: readonly Address[]): number {
    const request = ++this.#lastRequest;
    let pending = addresses.length;
    let joined = 0;
    const problems: string[] = [];
    const finish = (): void => this.#done(request, joined > 0, joined > 0 ? String(joined) : problems.join('; '));
    if (pending === 0) {
      problems.push('no address given');
      finish();
    }
    for (const address of addresses) {
      this.#parts.pushPull.exchange(nowMs, { ip: address.ip.slice(), port: address.port }, true, (atMs, error) => {
        if (error === undefined) joined++;
        else problems.push(error);
        if (--pending > 0) return;
        if (joined > 0) this.#parts.pushPull.joined(atMs);
        finish();
      });
    }
    return request;
  }

  leave(nowMs: number): number {
    const request = ++this.#lastRequest;
    const { kernels, roster } = this.#context;
    if (this.#hasLeft) {
      this.#done(request, true, 'had left before');
      return request;
    }
    this.#hasLeft = true;
    kernels.table.u32[TABLE.leaving >>> 2] = 1;
    const slot = roster.selfSlot;
    this.#announced(request, () => this.#parts.membership.accuse(nowMs, slot, MESSAGE.dead, roster.incarnation(slot)));
    this.#sayGoodbye(nowMs);
    return request;
  }

  setMeta(nowMs: number, meta: Uint8Array): number {
    if (meta.length > META_BYTES_MAX) {
      throw new HearsayError(
        'ERR_META_TOO_LARGE',
        `meta: expected at most ${META_BYTES_MAX} bytes, got ${meta.length}`,
      );
    }
    const request = ++this.#lastRequest;
    if (this.#hasLeft) {
      this.#done(request, false, 'this node has left');
      return request;
    }
    this.#context.self.meta = meta.slice();
    this.#announced(request, () => this.#parts.membership.announce(nowMs));
    return request;
  }

  /**
   * Tells some members directly that we go. A member that misses the news finds out by probing, and then it holds us for dead for good:
   * dead does not become left (protocol §9.4). In a small cluster this reaches everybody, in a large one it gives gossip a start.
   */
  #sayGoodbye(nowMs: number): void {
    const { kernels, roster, self } = this.#context;
    const { news, outbox } = this.#parts;
    const { table } = kernels;
    const incarnation = roster.incarnation(roster.selfSlot);
    const count = table.sample(nowMs, GOODBYES, PICK.alive | PICK.suspect, 0, -1);
    for (let i = 0; i < count; i++) {
      const slot = table.u32[(table.picksOffset >>> 2) + i] as number;
      if (!roster.hasAddress(slot)) continue;
      outbox.reserve(PING_BYTES_MAX);
      const end = encodeDead(outbox.bytes, outbox.top, { incarnation, node: self.name, from: self.name });
      outbox.commit(end, roster.address(slot), news.sendFlags(slot) & SEND.crc);
    }
  }

  setStalled(stalled: boolean): void {
    const { config, kernels, self } = this.#context;
    if (!config.extensions || self.isStalled === stalled) return;
    self.setStalled(stalled);
    kernels.table.setOwnExt(self.ext);
    if (!this.#hasLeft) this.#parts.news.announceSelf(0);
  }

  setReplicates(replicates: boolean): void {
    const { config, kernels, self } = this.#context;
    if (!config.extensions || self.replicates === replicates) return;
    self.setReplicates(replicates);
    kernels.table.setOwnExt(self.ext);
    if (!this.#hasLeft) this.#parts.news.announceSelf(0);
  }

  send(
    nowMs: number,
    to: string | Address,
    payload: Uint8Array,
    reliable: boolean,
    type: number = MESSAGE.user,
  ): number {
    const { config } = this.#context;
    const slot = typeof to === 'string' ? this.#known(to) : -1;
    const address = typeof to === 'string' ? this.#context.roster.address(slot) : { ip: to.ip.slice(), port: to.port };
    const limit = reliable
      ? STREAM_LIMITS.userBytes
      : UDP_BUFFER_BYTES_MAX - this.#parts.overheadBytes() - CRC_HEADER_BYTES - 1;
    if (payload.length > limit) {
      throw new HearsayError(
        'ERR_MESSAGE_TOO_LARGE',
        `payload: expected at most ${limit} bytes by ${reliable ? 'stream' : 'packet'}, got ${payload.length}`,
      );
    }
    const request = ++this.#lastRequest;
    if (!reliable) {
      const { news, outbox } = this.#parts;
      outbox.reserve(payload.length + 1);
      const end = encodeUser(outbox.bytes, outbox.top, payload, type);
      const flags = slot < 0 ? 0 : news.sendFlags(slot);
      // News of members may ride on state, as on a ping: it is sent when there is some to tell.
      const wanted = type === MESSAGE.state ? SEND.piggyback | (flags & SEND.extended) : flags & SEND.crc;
      outbox.commit(end, address, wanted);
      this.#done(request, true, 'sent');
      return request;
    }
    const from = config.extensions ? this.#context.self.name : undefined;
    const header = new Uint8Array(32 + (from?.length ?? 0));
    const headerEnd = encodeUserHeader(header, 0, payload.length, from, type);
    const message = new Uint8Array(headerEnd + payload.length);
    message.set(header.subarray(0, headerEnd));
    message.set(payload, headerEnd);
    this.#parts.streams.start({
      to: address,
      expectsReply: false,
      deadlineMs: nowMs + config.tcpTimeoutMs,
      message: () => message,
      finish: (_, reply, error) => this.#done(request, reply !== undefined, reply === undefined ? error : 'sent'),
    });
    return request;
  }

  ping(nowMs: number, name: string): number {
    const slot = this.#known(name);
    const request = ++this.#lastRequest;
    const { config, roster, self, timers } = this.#context;
    const { news, outbox, sequences } = this.#parts;
    const seqNo = sequences.take({
      onAck: (atMs) => this.#pinged(seqNo, true, atMs),
      onNack: () => {},
    });
    const token = timers.schedule(nowMs + config.probeTimeoutMs, TIMER.pingEnd, seqNo);
    this.#pings.set(seqNo, { request, sentMs: nowMs, token });
    outbox.reserve(PING_BYTES_MAX);
    const end = encodePing(outbox.bytes, outbox.top, {
      seqNo,
      node: roster.nameBytes(slot),
      sourceAddr: self.address.ip,
      sourcePort: self.address.port,
      sourceNode: self.name,
      ext: self.ext,
    });
    outbox.commit(end, roster.address(slot), SEND.piggyback | (news.sendFlags(slot) & SEND.extended));
    return request;
  }

  estimate(nowMs: number, cycles: number): number {
    if (!Number.isInteger(cycles) || cycles < 1 || cycles > CYCLES_MAX) {
      throw new HearsayError(
        'ERR_ARGUMENT_INVALID',
        `cycles: expected a whole number from 1 to ${CYCLES_MAX}, got ${String(cycles)}`,
      );
    }
    const request = ++this.#lastRequest;
    this.#parts.averagings.start(nowMs, cycles, request);
    return request;
  }

  probe(nowMs: number, name: string): number {
    const slot = this.#known(name);
    const request = ++this.#lastRequest;
    if (this.#context.roster.isSelf(slot) || this.#context.roster.status(slot) > STATUS.suspect) {
      this.#done(request, false, 'only other members that are alive or suspect are probed');
    } else this.#parts.prober.probe(nowMs, slot, request);
    return request;
  }

  exchange(nowMs: number, name: string): number {
    const slot = this.#known(name);
    const request = ++this.#lastRequest;
    if (this.#context.roster.isSelf(slot)) this.#done(request, false, 'state is exchanged with other members');
    else
      this.#parts.pushPull.exchangeWith(nowMs, slot, (_, error) =>
        this.#done(request, error === undefined, error ?? 'exchanged'),
      );
    return request;
  }

  /** A ping command was not answered in time. */
  pingEnded(nowMs: number, seqNo: number): void {
    this.#pinged(seqNo, false, nowMs);
  }

  /** A broadcast with a token was sent often enough, or newer news took its place. */
  finished(token: number): void {
    const request = this.#awaited.get(token);
    if (request === undefined) return;
    this.#awaited.delete(token);
    this.#done(request, true, 'told');
  }

  #pinged(seqNo: number, ok: boolean, nowMs: number): void {
    const ping = this.#pings.get(seqNo);
    if (ping === undefined) return;
    this.#pings.delete(seqNo);
    this.#parts.sequences.release(seqNo);
    this.#context.timers.cancel(ping.token);
    this.#done(ping.request, ok, ok ? String(nowMs - ping.sentMs) : 'no answer');
  }

  /** Runs a step that broadcasts something about us; the request is done when that broadcast is, or at once if nobody is there. */
  #announced(request: number, step: () => void): void {
    const token = ++this.#lastToken;
    this.#awaited.set(token, request);
    this.#parts.membership.withToken(token, step);
    if (this.#context.roster.hasTargets) return;
    this.#awaited.delete(token);
    this.#done(request, true, 'nobody else is there');
  }

  #known(name: string): number {
    const slot = this.#context.roster.find(bytesOf(name));
    if (slot < 0 || !this.#context.roster.hasAddress(slot)) {
      throw new HearsayError('ERR_MEMBER_UNKNOWN', `no member is named ${JSON.stringify(name)}`);
    }
    return slot;
  }

  #done(request: number, ok: boolean, detail: string): void {
    this.#context.emit({ type: 'done', request, ok, detail });
  }
}
