import type { StreamAnswer, StreamRequest } from '../protocol/types.ts';
import type { Network } from './network.ts';
import type { SimNode } from './sim-node.ts';
import type { Timeline } from './timeline.ts';

/** Streams come from ports of their own. */
const CLIENT_PORT = 40_000;

/** Carries streams between nodes: a round trip to connect, then messages in turn until one side closes, each hop as the rules have it. */
export class StreamCourier {
  readonly #timeline: Timeline;
  readonly #network: Network;
  readonly #drain: (node: SimNode) => void;

  /** `drain` carries out what a node wants done. */
  constructor(timeline: Timeline, network: Network, drain: (node: SimNode) => void) {
    this.#timeline = timeline;
    this.#network = network;
    this.#drain = drain;
  }

  /** Carries out a request of `from`; `target` undefined = nobody has that address. */
  open(from: SimNode, target: SimNode | undefined, request: StreamRequest): void {
    const timeline = this.#timeline;
    const { id, expectsReply } = request;
    const endMs = from.simMs(request.deadlineMs);
    const fail = (error: string, inMs: number): void =>
      timeline.at(inMs, from, () => {
        from.engine.handleStreamFailure(from.localMs(timeline.nowMs), id, error);
        this.#drain(from);
      });
    const timeOut = (): void => fail('timed out', Math.max(0, endMs - timeline.nowMs));
    const there = target && this.#delay(from, target, request.bytes.length);
    if (!target || there === undefined) {
      timeOut();
      return;
    }
    if (!target.isUp) {
      fail('connection refused', 2 * there);
      return;
    }
    /** The acceptor reads a message; the one who sent it waits for an answer, or has closed. */
    const hear = (bytes: Uint8Array, hopMs: number, isAnswerAwaited: boolean): void => {
      const breaks = this.#network.breaksStream();
      const { bytes: answer, more } = this.#accept(target, from, breaks ? bytes.subarray(0, bytes.length >> 1) : bytes);
      const back = breaks ? undefined : this.#delay(target, from, answer.length);
      if (!isAnswerAwaited) return;
      if (breaks) fail('connection reset', hopMs);
      else if (back === undefined) timeOut();
      else timeline.at(back, from, () => take(answer, more));
    };
    /** The initiator reads the answer; what it says to that reaches an acceptor that still listens. */
    const take = (answer: Uint8Array, isHeard: boolean): void => {
      const { bytes, more } = this.#reply(from, id, expectsReply, answer);
      if (bytes.length === 0 && !more) return;
      const hopMs = this.#delay(from, target, bytes.length);
      if (hopMs === undefined) {
        if (more) timeOut();
      } else if (isHeard) timeline.at(hopMs, target, () => hear(bytes, hopMs, more));
      else if (more) fail('closed before it answered', hopMs);
    };
    const first = request.bytes;
    // Whoever expects no reply hears all the same that the message was written.
    timeline.at(3 * there, target, () => hear(first, there, true));
  }

  /** A message, or the part of it that came through, at the side that did not open the stream. */
  #accept(target: SimNode, from: SimNode, bytes: Uint8Array): StreamAnswer {
    const { engine } = target;
    const reader = engine.streamReader(true);
    const step = reader.push(bytes);
    const result = step === 'more' ? reader.finish() : step;
    if (result.kind !== 'message') {
      engine.noteStreamError(result.code);
      return { bytes: result.answer.slice(), more: false };
    }
    const peer = { ip: from.address.ip, port: CLIENT_PORT };
    const answer = engine.handleStream(target.localMs(this.#timeline.nowMs), peer, result.message);
    const copy = { bytes: answer.bytes.slice(), more: answer.more };
    this.#drain(target);
    return copy;
  }

  /** An answer at the side that opened the stream: what that wants to write now. */
  #reply(from: SimNode, id: number, expectsReply: boolean, answer: Uint8Array): StreamAnswer {
    const { engine } = from;
    const now = from.localMs(this.#timeline.nowMs);
    let next: StreamAnswer = { bytes: answer.subarray(0, 0), more: false };
    if (!expectsReply) engine.handleStreamReply(now, id, next.bytes);
    else {
      const reader = engine.streamReader(false);
      const step = reader.push(answer);
      const result = step === 'more' ? reader.finish() : step;
      if (result.kind === 'message') {
        const { bytes, more } = engine.handleStreamReply(now, id, result.message);
        next = { bytes: bytes.slice(), more };
      } else engine.handleStreamFailure(now, id, result.text);
    }
    this.#drain(from);
    return next;
  }

  #delay(from: SimNode, to: SimNode, lengthBytes: number): number | undefined {
    const delayMs = this.#network.route(from.name, to.name, 'stream', lengthBytes, this.#timeline.nowMs);
    return delayMs < 0 ? undefined : delayMs;
  }
}
