import { Cluster, type ClusterOptions, type Member } from 'hearsay';
import { EventLog } from './event-log.ts';
import type { MemberView, Peer, PeerEvent, PeerSettings } from './peer.ts';

/** One node of this library, through its public API, seen through the same interface as the real peers. */
export class OurNode implements Peer {
  readonly kind = 'ours';
  readonly name: string;
  readonly address: string;
  readonly events: EventLog<PeerEvent>;
  readonly cluster: Cluster;

  private constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.name = cluster.name;
    this.address = cluster.self.address;
    this.events = new EventLog<PeerEvent>(`hearsay ${cluster.name}`);
    const { events } = this;
    for (const type of ['join', 'update', 'suspect', 'alive', 'leave', 'dead'] as const) {
      cluster.on(type, (member: Member) => events.push({ type, name: member.name, member: toView(member) }));
    }
    cluster.on('message', (message) => {
      events.push({ type: 'message', bytes: message.data.slice(), from: message.from, via: message.via });
    });
    cluster.on('conflict', (conflict) => events.push({ type: 'conflict', text: JSON.stringify(conflict) }));
    cluster.on('error', (error) => events.push({ type: 'other', text: `error: ${error.message}` }));
  }

  static async start(settings: PeerSettings): Promise<OurNode> {
    return new OurNode(await Cluster.start(toOptions(settings)));
  }

  async members(): Promise<MemberView[]> {
    return this.cluster.members().map(toView);
  }

  async incarnation(name: string): Promise<number> {
    const member = this.cluster.member(name);
    if (!member) throw new Error(`${this.name} does not know ${name}`);
    return member.incarnation;
  }

  async setMeta(meta: Uint8Array): Promise<void> {
    await this.cluster.setMeta(meta);
  }

  async send(to: string, bytes: Uint8Array, options: { reliable: boolean }): Promise<void> {
    await this.cluster.send(to, bytes, options);
  }

  async broadcast(bytes: Uint8Array): Promise<void> {
    await this.cluster.broadcast(bytes);
  }

  async leave(): Promise<void> {
    await this.cluster.leave();
  }

  async kill(): Promise<void> {
    await this.cluster.stop();
  }

  async addKey(key: Uint8Array): Promise<void> {
    await this.cluster.keys.add(key);
  }

  async useKey(key: Uint8Array): Promise<void> {
    await this.cluster.keys.use(key);
  }

  async removeKey(key: Uint8Array): Promise<void> {
    await this.cluster.keys.remove(key);
  }
}

/** The options that this library's users would write for these settings. */
export function toOptions(settings: PeerSettings): ClusterOptions {
  const { name, seeds = [], profile = 'local', host = '127.0.0.1', port = 0, advertisePort } = settings;
  const { probeIntervalMs, probeTimeoutMs, gossipIntervalMs, pushPullIntervalMs, suspicionMult, compression } =
    settings;
  return {
    name,
    seeds,
    profile,
    requireJoin: seeds.length > 0,
    bind: { host, port },
    tuning: {
      ...(probeIntervalMs === undefined ? {} : { probeIntervalMs }),
      ...(probeTimeoutMs === undefined ? {} : { probeTimeoutMs }),
      ...(gossipIntervalMs === undefined ? {} : { gossipIntervalMs }),
      ...(pushPullIntervalMs === undefined ? {} : { pushPullIntervalMs }),
      ...(suspicionMult === undefined ? {} : { suspicionMult }),
      ...(compression === undefined ? {} : { compression }),
    },
    ...(advertisePort === undefined ? {} : { advertise: `127.0.0.1:${advertisePort}` }),
    ...(settings.meta ? { meta: settings.meta } : {}),
    ...(settings.keys ? { keys: settings.keys } : {}),
    ...(settings.label ? { label: settings.label } : {}),
    ...(settings.protocolVersion === undefined ? {} : { protocolVersion: settings.protocolVersion }),
    ...(settings.delegateVersions ? { delegateVersions: settings.delegateVersions } : {}),
  };
}

function toView(member: Member): MemberView {
  return {
    name: member.name,
    address: member.address,
    meta: member.meta,
    state: member.status,
    vsn: member.versions,
  };
}
