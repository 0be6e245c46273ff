import type { ChildProcess } from 'node:child_process';
import { startChild, stopChild } from './children.ts';
import { EventLog } from './event-log.ts';
import type { MemberView, Peer, PeerEvent, PeerSettings } from './peer.ts';

interface GoMember {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly meta: string;
  readonly state: string;
  readonly vsn: readonly number[];
}

interface GoLine {
  readonly id?: number;
  readonly ok?: boolean;
  readonly error?: string;
  readonly result?: unknown;
  readonly event?: string;
  readonly node?: string;
  readonly name?: string;
  readonly state?: string;
  readonly from?: string;
  readonly text?: string;
  readonly level?: string;
  readonly bytes?: string;
  readonly member?: GoMember;
  readonly memberlist?: string;
}

export interface TableEntry {
  readonly name: string;
  readonly state: string;
  readonly incarnation: number;
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The Go program in peer/, hosting any number of real memberlist nodes. */
export class GoHost {
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  readonly #nodes = new Map<string, EventLog<PeerEvent>>();
  #nextId = 1;
  /** The memberlist release it was built with. */
  version = '';

  private constructor(binary: string, onReady: (line: GoLine) => void, onFailed: (error: Error) => void) {
    this.#child = startChild(binary, [], (text) => {
      let line: GoLine;
      try {
        line = JSON.parse(text) as GoLine;
      } catch {
        onFailed(new Error(`peer printed: ${text}`));
        return;
      }
      if (line.event === 'ready') onReady(line);
      else this.#take(line);
    });
    this.#child.once('error', onFailed);
    this.#child.once('close', () => {
      for (const pending of this.#pending.values()) pending.reject(new Error('the Go peer ended'));
      this.#pending.clear();
    });
  }

  static async start(binary: string): Promise<GoHost> {
    return new Promise((resolve, reject) => {
      const host: GoHost = new GoHost(
        binary,
        (line) => {
          host.version = line.memberlist ?? '';
          resolve(host);
        },
        reject,
      );
    });
  }

  /** Sends a command; rejects with the Go error's text. */
  command(cmd: string, fields: Record<string, unknown> = {}): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#child.stdin?.write(`${JSON.stringify({ id, cmd, ...fields })}\n`);
    });
  }

  /** Starts a node on a free port of 127.0.0.1 and joins it through the seeds, if any. */
  async node(settings: PeerSettings): Promise<GoNode> {
    const events = new EventLog<PeerEvent>(`memberlist ${settings.name}`);
    const handle = `${settings.name}#${this.#nodes.size}`;
    this.#nodes.set(handle, events);
    const {
      name,
      seeds = [],
      meta,
      keys,
      delegateVersions: dv,
      port = 0,
      host = '127.0.0.1',
      watch = true,
      ...rest
    } = settings;
    const config = {
      ...rest,
      watchMs: watch ? 20 : 0,
      meta: hex(meta ?? new Uint8Array(0)),
      keys: (keys ?? []).map(hex),
      ...(dv ? { delegateMin: dv.min, delegateMax: dv.max, delegateCur: dv.current } : {}),
    };
    const self = (await this.command('start', { node: handle, name, bind: host, port, config })) as GoMember;
    const node = new GoNode(this, handle, self, events);
    if (seeds.length === 0) return node;
    try {
      await node.join(seeds);
    } catch (error) {
      await node.kill();
      throw error;
    }
    return node;
  }

  /** Ends the process at once: all its nodes crash together. */
  kill(): Promise<void> {
    return stopChild(this.#child);
  }

  #take(line: GoLine): void {
    if (line.event === undefined) {
      const pending = this.#pending.get(line.id ?? -1);
      this.#pending.delete(line.id ?? -1);
      if (line.ok) pending?.resolve(line.result);
      else pending?.reject(new Error(`memberlist: ${line.error ?? 'no answer'}`));
      return;
    }
    const event = toEvent(line);
    if (event) this.#nodes.get(line.node ?? '')?.push(event);
  }
}

/** One real memberlist node. */
export class GoNode implements Peer {
  readonly kind = 'memberlist';
  readonly name: string;
  readonly address: string;
  readonly events: EventLog<PeerEvent>;
  readonly #host: GoHost;
  readonly #handle: string;

  constructor(host: GoHost, handle: string, self: GoMember, events: EventLog<PeerEvent>) {
    this.#host = host;
    this.#handle = handle;
    this.name = self.name;
    this.address = addressOf(self);
    this.events = events;
  }

  #command(cmd: string, fields: Record<string, unknown> = {}): Promise<unknown> {
    return this.#host.command(cmd, { node: this.#handle, ...fields });
  }

  async join(addresses: readonly string[]): Promise<number> {
    return (await this.#command('join', { addrs: addresses })) as number;
  }

  async members(): Promise<MemberView[]> {
    const [members, table] = await Promise.all([this.#command('members'), this.table()]);
    const states = new Map(table.map((entry) => [entry.name, entry.state]));
    return (members as GoMember[]).map((m) => ({ ...toView(m), state: states.get(m.name) ?? 'unknown' }));
  }

  async incarnation(name: string): Promise<number> {
    const entry = (await this.table()).find((e) => e.name === name);
    if (!entry) throw new Error(`${this.name} does not know ${name}`);
    return entry.incarnation;
  }

  async setMeta(meta: Uint8Array): Promise<void> {
    await this.#command('setMeta', { bytes: hex(meta), ms: 5000 });
  }

  async send(to: string, bytes: Uint8Array, options: { reliable: boolean }): Promise<void> {
    await this.#command(options.reliable ? 'sendReliable' : 'sendBestEffort', { to, bytes: hex(bytes) });
  }

  async broadcast(bytes: Uint8Array): Promise<void> {
    await this.#command('queueBroadcast', { bytes: hex(bytes) });
  }

  async leave(): Promise<void> {
    await this.#command('leave', { ms: 5000 });
  }

  async kill(): Promise<void> {
    await this.#command('kill');
  }

  async addKey(key: Uint8Array): Promise<void> {
    await this.#command('addKey', { key: hex(key) });
  }

  async useKey(key: Uint8Array): Promise<void> {
    await this.#command('useKey', { key: hex(key) });
  }

  async removeKey(key: Uint8Array): Promise<void> {
    await this.#command('removeKey', { key: hex(key) });
  }

  /** What its table really holds, dead and left members included. */
  async table(): Promise<TableEntry[]> {
    return (await this.#command('table')) as TableEntry[];
  }

  /** memberlist's awareness score, 0 = healthy. */
  async health(): Promise<number> {
    return (await this.#command('health')) as number;
  }

  /** memberlist's own counters of this node; also after its end. */
  async counters(): Promise<Record<string, number>> {
    return (await this.#command('counters')) as Record<string, number>;
  }

  /** Round-trip time of one ping, microseconds. */
  async ping(name: string, address: string): Promise<number> {
    return (await this.#command('ping', { to: name, address })) as number;
  }
}

function addressOf(member: GoMember): string {
  return member.host.includes(':') ? `[${member.host}]:${member.port}` : `${member.host}:${member.port}`;
}

function toView(member: GoMember): MemberView {
  return {
    name: member.name,
    address: addressOf(member),
    meta: new Uint8Array(Buffer.from(member.meta, 'hex')),
    state: member.state,
    vsn: member.vsn,
  };
}

function toEvent(line: GoLine): PeerEvent | undefined {
  const { event, member, text = '' } = line;
  if (member && (event === 'join' || event === 'update'))
    return { type: event, name: member.name, member: toView(member) };
  if (member && event === 'leave') {
    // memberlist has one event for both; the state that it had set before tells them apart.
    return { type: member.state === 'left' ? 'leave' : 'dead', name: member.name, member: toView(member) };
  }
  // Dead and left have an event of their own.
  if (event === 'state' && line.state === 'suspect') return { type: 'suspect', name: line.name ?? '' };
  if (event === 'state' && line.state === 'alive' && line.from === 'suspect')
    return { type: 'alive', name: line.name ?? '' };
  if (event === 'state') return undefined;
  if (event === 'message') return { type: 'message', bytes: new Uint8Array(Buffer.from(line.bytes ?? '', 'hex')) };
  if (event === 'refuted') return { type: 'refuted', text };
  if (event === 'log') return { type: 'log', text: `[${line.level}] ${text}` };
  if (event === 'conflict') return { type: 'conflict', text: JSON.stringify(line) };
  return { type: 'other', text: JSON.stringify(line) };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
