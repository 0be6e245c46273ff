import { hostname } from 'node:os';
import { META_BYTES_MAX, NAME_BYTES_MAX } from '../kernels/contract.ts';
import { parseCidr } from '../protocol/cidr.ts';
import {
  LABEL_BYTES_MAX,
  PROFILES,
  PROTOCOL_VERSION_MAX,
  PROTOCOL_VERSION_MIN,
  validateConfig,
} from '../protocol/config.ts';
import { parseIp } from '../util/address.ts';
import { bytesOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';
import { Keyring } from '../wire/keyring.ts';
import {
  dataProblem,
  hasMethods,
  isAbortSignal,
  isHost,
  isIntegerWithin,
  isRecord,
  isWildcard,
  missingMethods,
  parseKey,
  seedProblems,
  unknownKeys,
} from './checks.ts';
import { complaint, describe } from './describe.ts';
import { engineConfig } from './engine-config.ts';
import { probeChannel } from './events.ts';
import type { Logger } from './logger.ts';
import { OPTIONS, TUNING } from './option-tables.ts';
import type { ClusterOptions, HostHooks, HostSettings, ProfileName, Tuning } from './options.ts';
import { DEFAULT_PORT, type HostPort, parseHostPort } from './resolve.ts';

const THREADS = ['worker', 'inline'] as const;
const BACKENDS = ['auto', 'native', 'js'] as const;
const TRANSPORTS = ['auto', 'dgram', 'batched'] as const;
const INLINE_ONLY = ['aliveFilter', 'mergeFilter', 'localState', 'mergeRemoteState'] as const;
const LOGGER_METHODS: readonly (keyof Logger)[] = ['debug', 'info', 'warn', 'error'];
const TRANSPORT_METHODS = ['start', 'send', 'flush', 'connect', 'close'];
const VERSIONS = ['min', 'max', 'current'] as const;
/** The engine's names for parts of delegateVersions. */
const VERSION_FIELD = /\bdelegateProtocol(Min|Max|Version)\b/g;
const VERSION_NAME: Record<string, string> = { Min: 'min', Max: 'max', Version: 'current' };
const MS_MAX = 2 ** 31 - 1;
const ADVERTISE = '"ip:port" or "ip" that others can reach';
const BIND = '"host:port", "host", ":port" or { host, port }';

export interface ResolvedOptions {
  readonly settings: HostSettings;
  readonly hooks: HostHooks;
  readonly thread: 'worker' | 'inline';
  readonly requireJoin: boolean;
}

/** Checks the options and lists every problem at once (ERR_CONFIG_INVALID). */
export function resolveOptions(options: ClusterOptions): ResolvedOptions {
  if (!isRecord(options)) throw invalid([`expected an object, got ${describe(options)}`]);
  return new OptionReader(options).read();
}

function invalid(problems: readonly string[]): HearsayError {
  return new HearsayError('ERR_CONFIG_INVALID', `Cluster options: ${problems.join('; ')}`);
}

/** Reads options of which nothing is known yet. Each method notes what is wrong and then goes on with the default. */
class OptionReader {
  readonly #given: Readonly<Record<string, unknown>>;
  readonly #problems: string[] = [];

  constructor(given: Readonly<Record<string, unknown>>) {
    this.#given = given;
  }

  read(): ResolvedOptions {
    const inside = [...Object.keys(TUNING).map((key) => `tuning.${key}`), 'bind.host', 'bind.port'];
    this.#problems.push(...unknownKeys('', this.#given, Object.keys(OPTIONS), inside));
    const name = this.#text('name', hostname(), 1, NAME_BYTES_MAX);
    const { bind, advertise } = this.#addresses();
    const seeds = this.#seeds();
    const requireJoin = this.#boolean('requireJoin', false);
    if (requireJoin && seeds.length === 0 && !this.#hasProblem('seeds')) {
      this.#problems.push('requireJoin: expected seeds to join through, got none');
    }
    const thread = this.#choice('thread', THREADS, 'worker');
    const hooks = this.#hooks(thread);
    const transport = hooks.transport ? 'auto' : this.#namedTransport();
    const profile = this.#choice('profile', Object.keys(PROFILES) as ProfileName[], 'lan');
    const backend = this.#given['backend'] === undefined ? undefined : this.#choice('backend', BACKENDS, 'auto');
    this.#signalAndLogger();
    const settings: HostSettings = {
      name,
      bind,
      advertise,
      seeds,
      profile,
      tuning: this.#tuning(),
      meta: this.#meta(),
      keys: this.#keys(),
      verifyIncoming: this.#boolean('verifyIncoming', true),
      verifyOutgoing: this.#boolean('verifyOutgoing', true),
      label: this.#text('label', '', 0, LABEL_BYTES_MAX),
      allowedCidrs: this.#allowedCidrs(),
      protocolVersion: this.#integer('protocolVersion', 2, PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX),
      delegateVersions: this.#delegateVersions(),
      backend,
      transport,
      rngSeed: this.#integer('rngSeed', crypto.getRandomValues(new Uint32Array(1))[0] as number, 0, 2 ** 32 - 1),
      stallAfterMs: this.#integer('stallAfterMs', 1000, 0, MS_MAX),
      rejoinIntervalMs: this.#integer('rejoinIntervalMs', 30_000, 0, MS_MAX),
      unref: this.#boolean('unref', false),
      probeEvents: probeChannel.hasSubscribers,
    };
    this.#askTheEngine(settings);
    if (this.#problems.length > 0) throw invalid(this.#problems);
    return { settings, hooks, thread, requireJoin };
  }

  #refuse(field: string, value: unknown, expected: string): void {
    this.#problems.push(complaint(field, value, expected));
  }

  #hasProblem(field: string): boolean {
    return this.#problems.some((problem) => problem.startsWith(field));
  }

  #boolean(field: string, fallback: boolean): boolean {
    const value = this.#given[field];
    if (value === undefined || typeof value === 'boolean') return value ?? fallback;
    this.#refuse(field, value, 'true or false');
    return fallback;
  }

  #integer(field: string, fallback: number, min: number, max: number): number {
    const value = this.#given[field];
    if (value === undefined || isIntegerWithin(value, min, max)) return value ?? fallback;
    const unit = field.endsWith('Ms') ? ' (ms; 0 = off)' : '';
    this.#refuse(field, value, `a whole number from ${min} to ${max}${unit}`);
    return fallback;
  }

  #choice<T extends string>(field: string, choices: readonly T[], fallback: T): T {
    const value = this.#given[field];
    if (value === undefined) return fallback;
    const chosen = choices.find((choice) => choice === value);
    if (chosen === undefined) this.#refuse(field, value, oneOf(choices.map(quoted)));
    return chosen ?? fallback;
  }

  #text(field: string, fallback: string, minBytes: number, maxBytes: number): string {
    const value = this.#given[field];
    if (value === undefined) return fallback;
    const length = typeof value === 'string' ? bytesOf(value).length : -1;
    if (length >= minBytes && length <= maxBytes) return value as string;
    this.#refuse(field, value, `a text of ${minBytes} to ${maxBytes} bytes`);
    return fallback;
  }

  #addresses(): { bind: HostPort; advertise: HostPort | undefined } {
    const bind = this.#bind();
    const advertise = this.#given['advertise'];
    if (advertise === undefined) return { bind, advertise };
    const parsed = this.#parsed('advertise', advertise, bind.port, ADVERTISE);
    const ip = parsed && parseIp(parsed.host);
    if (ip && !isWildcard(ip)) return { bind, advertise: parsed };
    if (parsed) this.#refuse('advertise', advertise, ADVERTISE);
    return { bind, advertise: undefined };
  }

  #bind(): HostPort {
    const value = this.#given['bind'];
    const fallback = { host: '0.0.0.0', port: DEFAULT_PORT };
    if (value === undefined) return fallback;
    if (!isRecord(value)) {
      // A port alone is written ":7999" in Go.
      const text = typeof value === 'string' && /^:\d+$/.test(value) ? `${fallback.host}${value}` : value;
      const isPort = typeof value === 'string' && /^\d+$/.test(value);
      if (isPort) this.#refuse('bind', value, BIND);
      return (isPort ? undefined : this.#parsed('bind', text, fallback.port, BIND)) ?? fallback;
    }
    this.#problems.push(...unknownKeys('bind.', value, ['host', 'port']));
    const { host = fallback.host, port = fallback.port } = value;
    if (typeof host !== 'string' || !isHost(host)) this.#refuse('bind.host', host, 'an IP or a host name');
    if (!isIntegerWithin(port, 0, 65535)) this.#refuse('bind.port', port, 'a whole number from 0 to 65535');
    return { host, port } as HostPort;
  }

  #parsed(field: string, value: unknown, defaultPort: number, expected: string): HostPort | undefined {
    if (typeof value === 'string') {
      try {
        return parseHostPort(value, defaultPort, field);
      } catch (error) {
        this.#problems.push((error as Error).message);
      }
    } else this.#refuse(field, value, expected);
    return undefined;
  }

  #seeds(): readonly string[] {
    const seeds = this.#given['seeds'];
    if (seeds === undefined) return [];
    const problems = seedProblems(seeds);
    this.#problems.push(...problems);
    return problems.length > 0 ? [] : [...(seeds as string[])];
  }

  #meta(): Uint8Array {
    const meta = this.#given['meta'];
    if (meta === undefined) return new Uint8Array(0);
    const problem = dataProblem('meta', meta);
    const bytes = typeof meta === 'string' ? bytesOf(meta) : new Uint8Array(problem ? [] : (meta as Uint8Array));
    if (problem) this.#problems.push(problem);
    else if (bytes.length > META_BYTES_MAX) {
      const limit = `at most ${META_BYTES_MAX} bytes (memberlist's wire has no room for more)`;
      this.#problems.push(`meta: expected ${limit}, got ${bytes.length} bytes`);
    }
    return bytes;
  }

  #keys(): readonly Uint8Array[] {
    const keys = this.#given['keys'];
    if (keys === undefined) return [];
    if (!Array.isArray(keys)) {
      // A key must not end up in a log.
      const got = typeof keys === 'string' ? 'a text' : describe(keys);
      this.#problems.push(`keys: expected an array of keys, got ${got}`);
      return [];
    }
    return keys.flatMap((key: unknown, i) => {
      const parsed = parseKey(key);
      if (typeof parsed !== 'string') return [new Uint8Array(parsed)];
      this.#problems.push(`keys[${i}]: ${parsed}`);
      return [];
    });
  }

  #allowedCidrs(): readonly string[] {
    const cidrs = this.#given['allowedCidrs'];
    if (cidrs === undefined) return [];
    if (!Array.isArray(cidrs)) {
      this.#refuse('allowedCidrs', cidrs, 'an array of networks like "10.0.0.0/8" or "fd00::/8"');
      return [];
    }
    for (const [i, cidr] of cidrs.entries()) {
      if (typeof cidr === 'string' && parseCidr(cidr)) continue;
      this.#refuse(`allowedCidrs[${i}]`, cidr, 'a network like "10.0.0.0/8" or "fd00::/8"');
    }
    return [...cidrs];
  }

  #delegateVersions(): HostSettings['delegateVersions'] {
    const versions = this.#given['delegateVersions'];
    const none = { min: 0, max: 0, current: 0 };
    if (versions === undefined) return none;
    if (!isRecord(versions)) {
      this.#refuse('delegateVersions', versions, '{ min, max, current }');
      return none;
    }
    this.#problems.push(...unknownKeys('delegateVersions.', versions, VERSIONS));
    const bad = VERSIONS.filter((part) => !isIntegerWithin(versions[part], 0, 255));
    for (const part of bad) this.#refuse(`delegateVersions.${part}`, versions[part], 'a whole number from 0 to 255');
    if (bad.length > 0) return none;
    const { min, max, current } = versions as unknown as typeof none;
    if (min <= max && (current < min || current > max))
      this.#refuse('delegateVersions.current', current, `a version from min (${min}) to max (${max})`);
    return { min, max, current };
  }

  /** The tuning with what has the wrong type left out. */
  #tuning(): Tuning {
    const tuning = this.#given['tuning'];
    if (tuning === undefined) return {};
    if (!isRecord(tuning)) {
      this.#refuse('tuning', tuning, 'an object');
      return {};
    }
    this.#problems.push(...unknownKeys('tuning.', tuning, Object.keys(TUNING), Object.keys(OPTIONS)));
    const sound = Object.entries(TUNING).filter(([field, type]) => {
      const value = tuning[field];
      if (value === undefined) return false;
      if (typeof value === type) return true;
      this.#refuse(`tuning.${field}`, value, type === 'boolean' ? 'true or false' : 'a number');
      return false;
    });
    return Object.fromEntries(sound.map(([field]) => [field, tuning[field]]));
  }

  #hooks(thread: 'worker' | 'inline'): HostHooks {
    const hooks: Record<string, unknown> = {};
    for (const field of INLINE_ONLY) {
      const value = this.#given[field];
      if (value === undefined) continue;
      if (typeof value !== 'function') this.#refuse(field, value, 'a function');
      else if (thread === 'worker')
        this.#refuse(field, value, "thread: 'inline' (functions cannot cross to the engine's thread)");
      hooks[field] = value;
    }
    const transport = this.#given['transport'];
    if (isRecord(transport)) {
      if (!hasMethods(transport, TRANSPORT_METHODS)) {
        const missing = missingMethods(transport, TRANSPORT_METHODS).join(', ');
        this.#problems.push(`transport: expected a Transport, got an object without ${missing}`);
      } else if (thread === 'worker')
        this.#refuse('transport', transport, "thread: 'inline' (objects cannot cross to the engine's thread)");
      hooks['transport'] = transport;
    }
    return hooks as HostHooks;
  }

  #namedTransport(): HostSettings['transport'] {
    const value = this.#given['transport'];
    const named = value === undefined ? 'auto' : TRANSPORTS.find((name) => name === value);
    if (named === undefined) this.#refuse('transport', value, oneOf([...TRANSPORTS.map(quoted), 'a Transport']));
    return named ?? 'auto';
  }

  #signalAndLogger(): void {
    const { signal, logger } = this.#given;
    if (signal !== undefined && !isAbortSignal(signal)) {
      const advice = isRecord(signal) && isAbortSignal(signal['signal']) ? '; pass controller.signal' : '';
      this.#problems.push(`${complaint('signal', signal, 'an AbortSignal')}${advice}`);
    }
    if (logger === undefined || hasMethods(logger, LOGGER_METHODS)) return;
    const expected = `an object with the methods ${LOGGER_METHODS.join(', ')}`;
    if (isRecord(logger)) {
      const missing = missingMethods(logger, LOGGER_METHODS).join(', ');
      this.#problems.push(`logger: expected ${expected}, got one without ${missing}`);
    } else this.#refuse('logger', logger, expected);
  }

  /** The engine knows the ranges of its numbers; here they get the names that the program wrote. */
  #askTheEngine(settings: HostSettings): void {
    // What is not the engine's to check here, or was checked above, is replaced by something sound.
    const sound = {
      ...settings,
      name: 'sound',
      meta: new Uint8Array(0),
      label: '',
      protocolVersion: 2,
      allowedCidrs: [],
    };
    const address = { ip: Uint8Array.of(127, 0, 0, 1), port: DEFAULT_PORT };
    try {
      validateConfig(engineConfig(sound, {}, address, Keyring.create([], new Uint8Array(0))));
    } catch (error) {
      for (const problem of (error as Error).message.split(/; (?=\w+: expected )/)) {
        this.#problems.push(withOurNames(problem, settings.tuning, settings.profile));
      }
    }
  }
}

function withOurNames(problem: string, tuning: Tuning, profile: ProfileName): string {
  if (problem.search(VERSION_FIELD) === 0)
    return problem.replace(VERSION_FIELD, (_, part: string) => `delegateVersions.${VERSION_NAME[part]}`);
  const field = problem.slice(0, problem.indexOf(':'));
  return `tuning.${problem}${field in tuning ? '' : ` (profile '${profile}')`}`;
}

function quoted(choice: string): string {
  return `'${choice}'`;
}

function oneOf(choices: readonly string[]): string {
  return `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
}
