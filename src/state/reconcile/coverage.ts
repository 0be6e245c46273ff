import type { Cover, WriterLogView, WriterVersion } from './port.ts';

/** What a version takes in a message besides the writer's name, and one of its runs, at most. */
const VERSION_BYTES = 20;
const RUN_BYTES = 8;

/** Parts of a writer's sequences as pairs (from, to]: after `from` up to `to`, ascending and apart. */
export type Spans = number[];

/** Everything that `mine` covers of a writer and `theirs` does not. Undefined = nothing at all is covered. */
export function uncovered(mine: WriterVersion | undefined, theirs: WriterVersion | undefined): Spans {
  const spans: Spans = [];
  const covered = spansOf(theirs);
  const own = spansOf(mine);
  let next = 0;
  for (let i = 0; i < own.length; i += 2) {
    let from = own[i] as number;
    const to = own[i + 1] as number;
    while (next < covered.length && (covered[next + 1] as number) <= from) next += 2;
    for (let k = next; k < covered.length && (covered[k] as number) < to; k += 2) {
      if ((covered[k] as number) > from) spans.push(from, covered[k] as number);
      from = Math.max(from, covered[k + 1] as number);
    }
    if (from < to) spans.push(from, to);
  }
  return spans;
}

/** All of a version as covers. */
export function coversOf(version: WriterVersion): Cover[] {
  const spans = spansOf(version);
  const covers: Cover[] = [];
  for (let i = 0; i < spans.length; i += 2) {
    covers.push({ writer: version.writer, from: spans[i] as number, to: spans[i + 1] as number });
  }
  return covers;
}

/** Bytes of a version with at most so many runs, rounded up. */
export function versionBytes({ writer, ahead }: WriterVersion, runsMax: number): number {
  return VERSION_BYTES + writer.length + RUN_BYTES * Math.min(runsMax, ahead.length >>> 1);
}

/**
 * As many versions as fit into `room` bytes: of the writers that the conversation was about first, then of others from a place that the salt chooses, so that
 * everybody's turn comes.
 */
export function versionsToTell(
  log: WriterLogView,
  first: ReadonlySet<string>,
  salt: number,
  room: number,
  runsMax: number,
): WriterVersion[] {
  const chosen: WriterVersion[] = [];
  let left = room;
  const take = (version: WriterVersion | undefined): void => {
    if (version === undefined || left < 0 || version.max + version.ahead.length === 0) return;
    left -= versionBytes(version, runsMax);
    chosen.push(version);
  };
  for (const writer of first) take(log.version(writer));
  const others = left < 0 ? [] : [...log.versions()].filter(({ writer }) => !first.has(writer));
  for (let i = 0; i < others.length && left >= 0; i++) take(others[(i + salt) % others.length]);
  return chosen;
}

function spansOf(version: WriterVersion | undefined): Spans {
  if (!version) return [];
  const spans: Spans = version.max > 0 ? [0, version.max] : [];
  for (let i = 0; i < version.ahead.length; i += 2) {
    spans.push((version.ahead[i] as number) - 1, version.ahead[i + 1] as number);
  }
  return spans;
}
