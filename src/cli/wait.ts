import type { Fleet, FleetListener } from './fleet.ts';

/** What was waited for did not happen in time. */
export class DidNotHappen extends Error {}
/** Ctrl-C. */
export class Interrupted extends Error {}

const TICK_MS = 80;

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** For the error: "what" did not happen. */
  readonly what: string;
  /** Hears every event of the fleet while waiting. */
  readonly listener?: FleetListener;
  /** Called now and then, for live output. */
  readonly tick?: () => void;
}

/** Resolves as soon as `isDone` holds, looked at after each event of the fleet and now and then. */
export function waitUntil(fleet: Fleet, isDone: () => boolean, options: WaitOptions): Promise<void> {
  const { signal, listener, tick } = options;
  return new Promise((resolve, reject) => {
    const end = (error?: Error): void => {
      forget();
      clearInterval(ticker);
      clearTimeout(limit);
      signal.removeEventListener('abort', interrupt);
      if (error === undefined) resolve();
      else reject(error);
    };
    const interrupt = (): void => end(new Interrupted());
    const forget = fleet.listen((node, event, subject) => {
      listener?.(node, event, subject);
      if (isDone()) end();
    });
    const ticker = setInterval(() => {
      tick?.();
      if (isDone()) end();
    }, TICK_MS);
    const limit = setTimeout(
      () => end(new DidNotHappen(`${options.what} did not happen within ${Math.round(options.timeoutMs / 1000)} s`)),
      options.timeoutMs,
    );
    signal.addEventListener('abort', interrupt);
    if (signal.aborted) interrupt();
    else if (isDone()) end();
  });
}

/** A pause that Ctrl-C ends. */
export function pause(fleet: Fleet, ms: number, signal: AbortSignal, tick?: () => void): Promise<void> {
  const until = performance.now() + ms;
  return waitUntil(fleet, () => performance.now() >= until, {
    timeoutMs: ms + 60_000,
    signal,
    what: 'a pause',
    ...(tick === undefined ? {} : { tick }),
  });
}
