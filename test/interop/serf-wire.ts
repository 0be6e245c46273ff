import { decode, encode, type Value } from './msgpack.ts';

/**
 * The little of Serf's own protocol that a memberlist node needs to be a good citizen of a Serf pool: its tags are read from the
 * metadata, its leave is only a leave after a leave intent, and key changes arrive as queries. All of it travels in plain
 * user messages and metadata, so it needs nothing from the library but sending and receiving bytes.
 */
export const SERF_TYPE = {
  leave: 0,
  join: 1,
  userEvent: 3,
  query: 4,
  queryResponse: 5,
  keyRequest: 7,
  keyResponse: 8,
} as const;

/** What Serf 0.9 agents require of members (memberlist's delegate versions). */
export const SERF_VERSIONS = { min: 2, max: 5, current: 4 } as const;

function serfMessage(type: number, body: Value): Uint8Array {
  return Buffer.concat([Uint8Array.of(type), encode(body)]);
}

export function encodeTags(tags: { readonly [key: string]: string }): Uint8Array {
  return serfMessage(255, tags);
}

export function decodeTags(meta: Uint8Array): { [key: string]: string } {
  if (meta[0] !== 255) return { role: text(meta) };
  const map = decode(meta.subarray(1)) as { [key: string]: Value };
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, text(value)]));
}

/** Says that `node` is about to leave; to be broadcast before the leave itself. */
export function leaveIntent(node: string, ltime: number | bigint): Uint8Array {
  return serfMessage(SERF_TYPE.leave, { LTime: ltime, Node: node, Prune: false });
}

export function joinIntent(node: string, ltime: number | bigint): Uint8Array {
  return serfMessage(SERF_TYPE.join, { LTime: ltime, Node: node });
}

export function userEvent(name: string, payload: string, ltime: number | bigint): Uint8Array {
  return serfMessage(SERF_TYPE.userEvent, { LTime: ltime, Name: name, Payload: Buffer.from(payload), CC: false });
}

/** Decodes a Serf message of this type; undefined if it is another one. */
export function read(type: number, bytes: Uint8Array): { [key: string]: Value } | undefined {
  return bytes[0] === type ? (decode(bytes.subarray(1)) as { [key: string]: Value }) : undefined;
}

export function text(value: Value | undefined): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString() : String(value ?? '');
}

export interface KeyQuery {
  readonly name: '_serf_install-key' | '_serf_use-key' | '_serf_remove-key' | '_serf_list-keys';
  readonly key: Uint8Array;
  /** Name and "ip:port" of the agent that asks. */
  readonly asker: string;
  readonly address: string;
  answer(result: { readonly ok: boolean; readonly keys?: readonly string[] }, from: string): Uint8Array;
}

/** Reads one of Serf's key queries; undefined for everything else. */
export function keyQuery(bytes: Uint8Array): KeyQuery | undefined {
  const query = read(SERF_TYPE.query, bytes);
  const name = text(query?.['Name']);
  if (!query || !/^_serf_(install|use|remove|list)-keys?$/.test(name)) return undefined;
  const request = decode((query['Payload'] as Uint8Array).subarray(1)) as { [key: string]: Value };
  const ip = query['Addr'] as Uint8Array;
  const { LTime = 0, ID = 0 } = query;
  return {
    name: name as KeyQuery['name'],
    key: (request['Key'] as Uint8Array | null) ?? new Uint8Array(0),
    asker: text(query['SourceNode']),
    address: `${ip.subarray(-4).join('.')}:${String(query['Port'])}`,
    answer: ({ ok, keys = [] }, from) => {
      const body = { Result: ok, Message: '', Keys: keys, PrimaryKey: keys[0] ?? '' };
      return serfMessage(SERF_TYPE.queryResponse, {
        LTime,
        ID,
        From: from,
        Flags: 0,
        Payload: serfMessage(SERF_TYPE.keyResponse, body),
      });
    },
  };
}
