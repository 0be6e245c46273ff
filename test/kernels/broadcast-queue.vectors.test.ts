import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { BroadcastQueue } from '../../src/kernels/contract.ts';
import { QUEUE, QUEUE_ENTRY } from '../../src/kernels/layout.ts';
import {
  ENGINES,
  enqueue,
  fill,
  finishedTokens,
  makeQueue,
  message,
  messageId,
  word,
} from './broadcast-queue.driver.ts';

interface Step {
  op: 'queue' | 'queue-unique' | 'get' | 'prune';
  id?: string;
  name?: string;
  length?: number;
  limit?: number;
  overhead?: number;
  retain?: number;
  result?: string[];
  finished: string[];
  queue_after: [string, number][];
}
interface Scenario {
  nodes: number;
  note: string;
  retransmit_mult: number;
  steps: Step[];
}

const vectors = JSON.parse(readFileSync(new URL('../vectors/broadcast-queue.json', import.meta.url), 'utf8')) as {
  scenarios: Scenario[];
};

/** Our entries cost length + 2. A scenario with overhead 3 runs with messages that are one byte longer. */
function extraBytes(scenario: Scenario): number {
  const overheads = new Set(scenario.steps.flatMap((step) => (step.overhead === undefined ? [] : [step.overhead])));
  expect(overheads.size).toBe(1);
  return ([...overheads][0] as number) - 2;
}

function transmitLimit(scenario: Scenario): number {
  let digits = 0;
  for (let power = 1; power < scenario.nodes + 1; power *= 10) digits++;
  return scenario.retransmit_mult * digits;
}

function queueOrder(queue: BroadcastQueue): [number, number][] {
  const order = word(queue, QUEUE.laneCount0);
  const rows: { token: number; transmits: number; length: number; id: number }[] = [];
  const f64 = new Float64Array(queue.arena);
  for (let entry = 0; entry < word(queue, QUEUE.entryTop); entry++) {
    const at = queue.entriesOffset + entry * QUEUE_ENTRY.stride;
    if (queue.u8[at + QUEUE_ENTRY.state] !== 1) continue;
    rows.push({
      token: word(queue, at + QUEUE_ENTRY.token),
      transmits: word(queue, at + QUEUE_ENTRY.transmits),
      length: word(queue, at + QUEUE_ENTRY.length),
      id: f64[(at + QUEUE_ENTRY.id) / 8] as number,
    });
  }
  expect(rows.length).toBe(order);
  rows.sort((a, b) => a.transmits - b.transmits || b.length - a.length || b.id - a.id);
  return rows.map((row) => [row.token, row.transmits]);
}

describe.each(ENGINES)('memberlist vectors on %s', (engine) => {
  test.each(vectors.scenarios)('$note', (scenario) => {
    const queue = makeQueue(engine);
    const extra = extraBytes(scenario);
    const limit = transmitLimit(scenario);
    const tokens = new Map<string, number>();
    const keys = new Map<string, number>();
    const label = (token: number) => [...tokens].find(([, value]) => value === token)?.[0] as string;

    for (const step of scenario.steps) {
      if (step.op === 'get') {
        const [packet] = fill(queue, [{ limit: step.limit as number }], limit);
        expect(packet?.parts.map((part) => label(messageId(part)))).toEqual(step.result);
      } else if (step.op === 'prune') {
        queue.prune(0, step.retain as number);
      } else {
        const token = tokens.size + 1;
        tokens.set(step.id as string, token);
        if (step.name && !keys.has(step.name)) keys.set(step.name, keys.size + 1);
        const key = step.op === 'queue' ? (keys.get(step.name as string) as number) : 0;
        expect(enqueue(queue, [{ key, token, bytes: message(token, (step.length as number) + extra) }])).toBe(1);
      }
      expect(finishedTokens(queue).map(label)).toEqual(step.finished);
      expect(queueOrder(queue).map(([token, transmits]) => [label(token), transmits])).toEqual(step.queue_after);
    }
  });
});
