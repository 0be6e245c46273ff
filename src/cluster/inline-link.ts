import type { MemberInfo } from '../protocol/types.ts';
import { ClusterHost } from './host.ts';
import type { HostCommandName, HostCommands, HostHello, HostLink, HostSink } from './link.ts';
import type { HostHooks, HostSettings } from './options.ts';

/** A host on the caller's own thread: no crossing, no protection from a busy event loop. */
class InlineLink implements HostLink {
  readonly hello: HostHello;
  readonly arenas = undefined;
  readonly #host: ClusterHost;

  constructor(host: ClusterHost, hello: HostHello) {
    this.#host = host;
    this.hello = hello;
  }

  call<K extends HostCommandName>(name: K, ...args: HostCommands[K]['args']): Promise<HostCommands[K]['answer']> {
    return this.#host.call(name, ...args);
  }

  members(): readonly MemberInfo[] {
    return this.#host.members();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Starts a host here and waits until it is bound and the first join was tried. Rejects once it is closed when `signal` aborts before. */
export async function startInline(
  settings: HostSettings,
  hooks: HostHooks,
  requireJoin: boolean,
  sink: HostSink,
  signal: AbortSignal | undefined,
): Promise<HostLink> {
  const host = new ClusterHost(settings, hooks, false, sink);
  const abort = (): void => void host.stop();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    return new InlineLink(host, await host.start(requireJoin));
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}
