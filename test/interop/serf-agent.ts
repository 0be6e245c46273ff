import type { ChildProcess } from 'node:child_process';
import { freePort, type Output, runChild, startChild, stopChild } from './children.ts';
import { EventLog } from './event-log.ts';
import { SERF_BINARY } from './harness.ts';

export interface SerfSettings {
  readonly name: string;
  readonly tags?: { readonly [key: string]: string };
  /** "ip:port" to join. */
  readonly join?: readonly string[];
  /** base64. */
  readonly encrypt?: string;
  readonly compression?: boolean;
  readonly extraArgs?: readonly string[];
}

export interface SerfMember {
  readonly name: string;
  readonly addr: string;
  readonly port: number;
  readonly tags: { readonly [key: string]: string };
  readonly status: string;
}

const COMMAND_MS = 15_000;

/** A real Serf agent on loopback, driven by the serf command line tool. */
export class SerfAgent {
  readonly name: string;
  /** "ip:port" of its gossip. */
  readonly address: string;
  /** Its log, line by line. Serf logs every membership event and, at this level, every message. */
  readonly log: EventLog<string>;
  readonly #rpc: string;
  readonly #child: ChildProcess;

  private constructor(settings: SerfSettings, port: number, rpcPort: number) {
    this.name = settings.name;
    this.address = `127.0.0.1:${port}`;
    this.#rpc = `-rpc-addr=127.0.0.1:${rpcPort}`;
    this.log = new EventLog<string>(`serf ${settings.name}`);
    const args = [
      'agent',
      `-node=${settings.name}`,
      `-bind=${this.address}`,
      this.#rpc,
      '-profile=local',
      '-log-level=debug',
      // The agent logs what an event handler prints: so the payload of a user event shows in the log.
      '-event-handler=user=cat',
      ...Object.entries(settings.tags ?? {}).map(([key, value]) => `-tag=${key}=${value}`),
      ...(settings.join ?? []).map((address) => `-join=${address}`),
      ...(settings.encrypt ? [`-encrypt=${settings.encrypt}`] : []),
      ...(settings.compression === false ? ['-disable-compression'] : []),
      ...(settings.extraArgs ?? []),
    ];
    this.#child = startChild(SERF_BINARY, args, (line) => this.log.push(line));
  }

  /** Starts an agent and waits until it answers commands. */
  static async start(settings: SerfSettings): Promise<SerfAgent> {
    const agent = new SerfAgent(settings, await freePort(), await freePort());
    await agent.logs('running agent', /Serf agent running!/, 10_000);
    return agent;
  }

  /** Waits for a line of the log. */
  logs(what: string, pattern: RegExp, withinMs: number, since = 0): Promise<string> {
    return this.log.wait(what, (line) => pattern.test(line), withinMs, since);
  }

  /** Runs a subcommand against this agent. */
  command(name: string, ...args: string[]): Promise<Output> {
    return runChild(SERF_BINARY, [name, this.#rpc, ...args], COMMAND_MS);
  }

  /** Runs a subcommand that must succeed. */
  async done(name: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.command(name, ...args);
    if (code !== 0) throw new Error(`serf ${name} ${args.join(' ')} on ${this.name}: exit ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  async members(): Promise<SerfMember[]> {
    return (JSON.parse(await this.done('members', '-format=json')) as { members: SerfMember[] }).members;
  }

  async member(name: string): Promise<SerfMember | undefined> {
    return (await this.members()).find((m) => m.name === name);
  }

  /** Agent info, such as serf.member_time, its Lamport clock of intents. */
  async info(): Promise<{ readonly [section: string]: { readonly [key: string]: string } }> {
    return JSON.parse(await this.done('info', '-format=json'));
  }

  /** Leaves gracefully; the agent ends itself. */
  async leave(): Promise<void> {
    await this.done('leave');
  }

  kill(): Promise<void> {
    return stopChild(this.#child);
  }
}
