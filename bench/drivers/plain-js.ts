/**
 * Membership as one would write it without this library: a Map of member objects, an npm msgpack library (@msgpack/msgpack, the msgpack project's
 * own for JavaScript), an array for the broadcasts. The rules are memberlist's, the bytes too. Its byte fields are "raw", as strings are, so
 * the decoder runs with `rawStrings` and names are made strings afterwards; map keys it decodes (and caches) itself.
 */
import { Decoder, Encoder } from '@msgpack/msgpack';

const ALIVE = 0;
const SUSPECT = 1;
const DEAD = 2;
const LEFT = 3;

const SUSPECT_MESSAGE = 3;
const ALIVE_MESSAGE = 4;
const DEAD_MESSAGE = 5;
const COMPOUND_MESSAGE = 7;

interface WireNodeState {
  Name: Uint8Array;
  Addr: Uint8Array;
  Port: number;
  Meta: Uint8Array | null;
  Incarnation: number;
  State: number;
  Vsn: Uint8Array;
}

interface WireAlive extends Omit<WireNodeState, 'Name' | 'State'> {
  Node: Uint8Array;
}

interface WireAccusation {
  Node: Uint8Array;
  From: Uint8Array;
  Incarnation: number;
}

export interface PlainMember {
  name: string;
  addr: Uint8Array;
  port: number;
  meta: Uint8Array;
  incarnation: number;
  state: number;
  stateChange: number;
  vsn: Uint8Array;
  /** Who suspects it. */
  suspectedBy: Set<string> | null;
}

const NO_META = new Uint8Array(0);

export class PlainMembership {
  readonly members = new Map<string, PlainMember>();
  /** What happened, for the program to react to. */
  changes: { type: string; member: PlainMember }[] = [];
  readonly #decoder = new Decoder({ rawStrings: true });
  readonly #encoder = new Encoder();

  /** A push/pull body: node states one behind the other. */
  mergeBody(body: Uint8Array): void {
    this.changes = [];
    for (const state of this.#decoder.decodeMulti(body)) this.#mergeState(state as WireNodeState);
  }

  /** A datagram. */
  receive(packet: Uint8Array): void {
    this.changes = [];
    this.#handle(packet);
  }

  encodeState(): Uint8Array {
    const chunks: Uint8Array[] = [];
    for (const m of this.members.values()) {
      const wire = {
        Addr: m.addr,
        Incarnation: m.incarnation,
        Meta: m.meta,
        Name: m.name,
        Port: m.port,
        State: m.state,
        Vsn: m.vsn,
      };
      chunks.push(this.#encoder.encode(wire));
    }
    return Buffer.concat(chunks);
  }

  /** The members that a push/pull body tells about, as they are told. */
  decodeStates(body: Uint8Array): PlainMember[] {
    return [...this.#decoder.decodeMulti(body)].map((each) => {
      const { Name, Addr, Port, Meta, Incarnation, State, Vsn } = each as WireNodeState;
      const known = {
        name: text(Name),
        addr: Addr,
        port: Port,
        meta: Meta ?? NO_META,
        incarnation: Incarnation,
        state: State,
        vsn: Vsn,
      };
      return { ...known, stateChange: 0, suspectedBy: null };
    });
  }

  #handle(message: Uint8Array): void {
    switch (message[0]) {
      case COMPOUND_MESSAGE: {
        const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
        const count = message[1] as number;
        let at = 2 + 2 * count;
        for (let i = 0; i < count; i++) {
          const length = view.getUint16(2 + 2 * i);
          this.#handle(message.subarray(at, at + length));
          at += length;
        }
        break;
      }
      case ALIVE_MESSAGE: {
        const alive = this.#decoder.decode(message.subarray(1)) as WireAlive;
        this.#alive(text(alive.Node), alive);
        break;
      }
      case SUSPECT_MESSAGE: {
        const suspect = this.#decoder.decode(message.subarray(1)) as WireAccusation;
        this.#suspect(text(suspect.Node), text(suspect.From), suspect.Incarnation);
        break;
      }
      case DEAD_MESSAGE: {
        const dead = this.#decoder.decode(message.subarray(1)) as WireAccusation;
        const name = text(dead.Node);
        this.#dead(name, text(dead.From) === name ? LEFT : DEAD, dead.Incarnation);
        break;
      }
    }
  }

  #mergeState(state: WireNodeState): void {
    const name = text(state.Name);
    if (state.State === ALIVE) this.#alive(name, state);
    else if (state.State === LEFT) this.#dead(name, LEFT, state.Incarnation);
    else this.#suspect(name, 'self', state.Incarnation);
  }

  #alive(name: string, wire: WireAlive | WireNodeState): void {
    let member = this.members.get(name);
    const isNew = member === undefined;
    if (!member) {
      member = {
        name,
        addr: wire.Addr.slice(),
        port: wire.Port,
        meta: NO_META,
        incarnation: 0,
        state: DEAD,
        stateChange: Date.now(),
        vsn: NO_META,
        suspectedBy: null,
      };
      this.members.set(name, member);
    } else if (member.port !== wire.Port || Buffer.compare(member.addr, wire.Addr) !== 0) {
      if (member.state !== LEFT) return;
      member.addr = wire.Addr.slice();
      member.port = wire.Port;
    }
    if (wire.Incarnation <= member.incarnation && !isNew) return;
    // Copies: what the decoder answers are views of the datagram.
    member.meta = wire.Meta ? wire.Meta.slice() : NO_META;
    member.vsn = wire.Vsn.slice();
    member.incarnation = wire.Incarnation;
    member.suspectedBy = null;
    if (member.state !== ALIVE) {
      member.state = ALIVE;
      member.stateChange = Date.now();
    }
    this.changes.push({ type: 'alive', member });
  }

  #suspect(name: string, from: string, incarnation: number): void {
    const member = this.members.get(name);
    if (!member || incarnation < member.incarnation) return;
    if (member.suspectedBy) {
      if (!member.suspectedBy.has(from)) {
        member.suspectedBy.add(from);
        this.changes.push({ type: 'confirm', member });
      }
      return;
    }
    if (member.state !== ALIVE) return;
    member.state = SUSPECT;
    member.stateChange = Date.now();
    member.incarnation = incarnation;
    member.suspectedBy = new Set([from]);
    this.changes.push({ type: 'suspect', member });
  }

  #dead(name: string, state: number, incarnation: number): void {
    const member = this.members.get(name);
    if (!member || incarnation < member.incarnation || member.state === DEAD || member.state === LEFT) return;
    member.state = state;
    member.stateChange = Date.now();
    member.incarnation = incarnation;
    member.suspectedBy = null;
    this.changes.push({ type: 'dead', member });
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}

interface PlainBroadcast {
  readonly node: string;
  readonly message: Uint8Array;
  transmits: number;
}

/** Broadcasts in an array: sorted when a packet is filled, filtered when one is replaced or done. */
export class PlainQueue {
  broadcasts: PlainBroadcast[] = [];
  readonly #transmitLimit: number;

  constructor(transmitLimit: number) {
    this.#transmitLimit = transmitLimit;
  }

  enqueue(node: string, message: Uint8Array): void {
    this.broadcasts = this.broadcasts.filter((each) => each.node !== node);
    this.broadcasts.push({ node, message, transmits: 0 });
  }

  /** A compound of at most `limit` bytes: least sent first, longest first. */
  fill(limit: number): { packet: Uint8Array; parts: number } {
    this.broadcasts.sort((a, b) => a.transmits - b.transmits || b.message.length - a.message.length);
    const chosen: PlainBroadcast[] = [];
    let left = limit - 2;
    for (const broadcast of this.broadcasts) {
      if (broadcast.message.length + 2 > left) continue;
      left -= broadcast.message.length + 2;
      chosen.push(broadcast);
      broadcast.transmits++;
    }
    if (chosen.some((each) => each.transmits >= this.#transmitLimit)) {
      this.broadcasts = this.broadcasts.filter((each) => each.transmits < this.#transmitLimit);
    }
    const lengths = Buffer.alloc(2 * chosen.length);
    chosen.forEach((each, i) => {
      lengths.writeUInt16BE(each.message.length, 2 * i);
    });
    const head = Uint8Array.of(COMPOUND_MESSAGE, chosen.length);
    return { packet: Buffer.concat([head, lengths, ...chosen.map((each) => each.message)]), parts: chosen.length };
  }
}
