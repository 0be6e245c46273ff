interface Waiter<E> {
  readonly matches: (event: E) => boolean;
  readonly resolve: (event: E) => void;
}

/**
 * What one peer reported, in order. Tests wait for an event instead of sleeping: one that was already seen (since a mark)
 * answers at once, a later one when it arrives, and none before the deadline fails with what was seen instead.
 */
export class EventLog<E> {
  readonly #owner: string;
  readonly #events: E[] = [];
  readonly #waiters = new Set<Waiter<E>>();
  readonly #listeners = new Set<(event: E) => void>();

  constructor(owner: string) {
    this.#owner = owner;
  }

  push(event: E): void {
    this.#events.push(event);
    for (const listener of this.#listeners) listener(event);
    for (const waiter of this.#waiters) {
      if (!waiter.matches(event)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(event);
    }
  }

  /** Calls the listener with each later event. */
  on(listener: (event: E) => void): void {
    this.#listeners.add(listener);
  }

  /** Position after the newest event; pass it as `since` to look only at what comes later. */
  mark(): number {
    return this.#events.length;
  }

  /** All events since a mark that match. */
  filter(matches: (event: E) => boolean, since = 0): E[] {
    return this.#events.slice(since).filter(matches);
  }

  /** The first matching event since the mark, waiting at most `withinMs` for it. */
  wait(what: string, matches: (event: E) => boolean, withinMs: number, since = 0): Promise<E> {
    const seen = this.#events.slice(since).find(matches);
    if (seen !== undefined) return Promise.resolve(seen);
    return new Promise<E>((resolve, reject) => {
      const waiter: Waiter<E> = {
        matches,
        resolve: (event) => {
          clearTimeout(timer);
          resolve(event);
        },
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        const last = this.#events
          .slice(since)
          .slice(-12)
          .map((event) => `  ${brief(event)}`);
        reject(
          new Error(
            `${this.#owner}: no ${what} within ${withinMs} ms; since then it saw\n${last.join('\n') || '  nothing'}`,
          ),
        );
      }, withinMs);
      this.#waiters.add(waiter);
    });
  }
}

function brief(event: unknown): string {
  const text =
    typeof event === 'string'
      ? event
      : JSON.stringify(event, (_key, value: unknown) =>
          value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
        );
  return text.length > 240 ? `${text.slice(0, 240)}...` : text;
}
