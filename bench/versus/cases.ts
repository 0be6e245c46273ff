/** The comparisons of the table in README.md, and what each must reach. */
import type { Backend } from '../../src/kernels/backend.ts';
import {
  encoding,
  intoEmpty,
  KernelMembership,
  kernelQueue,
  packets,
  plainMembership,
  plainQueue,
  QUEUE_OPERATIONS,
  queueing,
  unchanged,
  type VersusSubject,
} from './contenders.ts';
import { MEMBERS, PACKETS, RECORDS_PER_PACKET, type VersusInputs } from './inputs.ts';
import { RelayingMembership } from './relay.ts';
import { deltaOfTen, digestTable, hashing } from './sync.ts';

export const CONTENDERS = ['native', 'js', 'plain', 'memberlist', 'bandwidth'] as const;
export type ContenderName = (typeof CONTENDERS)[number];

/** `factor` times as fast as `than`, or at most `atMostNs`. */
export interface Target {
  readonly who: ContenderName;
  readonly factor?: number;
  readonly than?: ContenderName;
  readonly atMostNs?: number;
}

export interface VersusCase {
  /** Also the name of the case in the memberlist program, where it has one. */
  readonly id: string;
  readonly title: string;
  readonly operations: number;
  readonly targets: readonly Target[];
  /** In this process: our engines, and plain JavaScript where it has something to compare. */
  kernels(backend: Backend, inputs: VersusInputs): VersusSubject;
  plain?(inputs: VersusInputs): VersusSubject;
  /** The other program that has this case. */
  readonly program?: 'memberlist' | 'bandwidth';
}

const membership = (backend: Backend, inputs: VersusInputs) => new KernelMembership(backend, inputs.body.length);

const relaying = (backend: Backend, inputs: VersusInputs) => new RelayingMembership(backend, inputs.body.length);

function packetCase(id: string, title: string, news: boolean, targets: readonly Target[]): VersusCase {
  return {
    id,
    title,
    operations: PACKETS * RECORDS_PER_PACKET,
    targets,
    kernels: (backend, inputs) => packets(membership(backend, inputs), inputs, news),
    plain: (inputs) => packets(plainMembership(), inputs, news),
    program: 'memberlist',
  };
}

function queueCase(id: string, title: string, operation: 'fill' | 'enqueue', targets: readonly Target[]): VersusCase {
  return {
    id,
    title,
    operations: QUEUE_OPERATIONS,
    targets,
    kernels: (backend, { messages }) => queueing(kernelQueue(backend, messages), messages, operation),
    plain: ({ messages }) => queueing(plainQueue(messages), messages, operation),
    program: 'memberlist',
  };
}

function emptyCase(
  id: string,
  title: string,
  targets: readonly Target[],
  make: (backend: Backend, inputs: VersusInputs) => KernelMembership & { drain?(): void },
): VersusCase {
  return {
    id,
    title,
    operations: 1,
    targets,
    kernels: (backend, inputs) => {
      const kernels = make(backend, inputs);
      const fresh = () => {
        kernels.drain?.();
        kernels.reset();
        return kernels;
      };
      return intoEmpty(fresh, inputs);
    },
    program: 'memberlist',
  };
}

const all = MEMBERS.toLocaleString('en-US');

export const VERSUS: readonly VersusCase[] = [
  {
    id: 'merge-unchanged',
    title: `decode + merge a push/pull of ${all}, unchanged`,
    operations: 1,
    targets: [
      { who: 'native', factor: 10, than: 'memberlist' },
      { who: 'native', factor: 3, than: 'js' },
    ],
    kernels: (backend, inputs) => unchanged(membership(backend, inputs), inputs),
    plain: (inputs) => unchanged(plainMembership(), inputs),
    program: 'memberlist',
  },
  {
    ...emptyCase(
      'merge-empty',
      `decode + merge a push/pull of ${all}, into an empty table`,
      [{ who: 'native', factor: 20, than: 'memberlist' }],
      membership,
    ),
    plain: (inputs) => intoEmpty(plainMembership, inputs),
  },
  emptyCase('merge-empty-queued', 'into an empty table, news encoded and queued for gossip as well', [], relaying),
  packetCase('packets-news', 'packet of 10 alive/suspect, decode + merge, per record', true, [
    { who: 'native', factor: 10, than: 'memberlist' },
    { who: 'js', factor: 1, than: 'memberlist' },
  ]),
  {
    id: 'packets-news-queued',
    title: 'packet of 10 alive/suspect, news encoded and queued for gossip as well, per record',
    operations: PACKETS * RECORDS_PER_PACKET,
    targets: [],
    kernels: (backend, inputs) => packets(relaying(backend, inputs), inputs, true),
    program: 'memberlist',
  },
  packetCase('packets-old', 'packet of 10 that is no news, decode + merge, per record', false, []),
  {
    id: 'encode-state',
    title: `encode the state of ${all}`,
    operations: 1,
    targets: [],
    kernels: (backend, inputs) => encoding(membership(backend, inputs), inputs),
    plain: (inputs) => encoding(plainMembership(), inputs),
    program: 'memberlist',
  },
  queueCase('queue-enqueue', 'queue 10 updates, 1,000 waiting', 'enqueue', []),
  queueCase('queue-fill', 'fill a 1,400-byte packet from 1,000 updates', 'fill', [{ who: 'native', atMostNs: 5000 }]),
  {
    id: 'digest-table',
    title: `digest of a table of ${all}`,
    operations: 1,
    targets: [{ who: 'native', atMostNs: 100_000 }],
    kernels: digestTable,
  },
  {
    id: 'hash-values',
    title: 'hash 64 MiB in values of 4 KiB',
    operations: 1,
    targets: [{ who: 'native', factor: 0.5, than: 'bandwidth' }],
    kernels: hashing,
    program: 'bandwidth',
  },
  {
    id: 'delta-encode',
    title: `produce the delta for 10 of ${all}`,
    operations: 1,
    targets: [{ who: 'native', atMostNs: 150_000 }],
    kernels: deltaOfTen,
  },
];
