import { hasNativeClass, nativeClass } from '../kernels/native.ts';
import type { NativeUdpSocket } from '../transport/native.ts';
import { NetTransport } from '../transport/net-transport.ts';
import type { Transport } from '../transport/transport.ts';
import { HearsayError } from '../util/errors.ts';
import { streamTimeoutMs } from './engine-config.ts';
import type { HostHooks, HostSettings } from './options.ts';
import { resolveHost } from './resolve.ts';

type UdpArgs = [ip: Uint8Array, port: number, bufferBytes: number, onEvents: (bits: number) => void];

/** The user's transport, or UDP and TCP on the address to bind. */
export async function openTransport(
  settings: HostSettings,
  hooks: HostHooks,
): Promise<{ transport: Transport; packets: 'dgram' | 'batched' | 'custom' }> {
  if (hooks.transport) return { transport: hooks.transport, packets: 'custom' };
  const [ip] = await resolveHost(settings.bind.host, 'bind');
  if (!ip) throw new HearsayError('ERR_RESOLVE_FAILED', `bind: ${JSON.stringify(settings.bind.host)} has no address`);
  // 'js' means no native code at all, so that the fallback is what is tested.
  const wantsNative = settings.transport === 'batched' || (settings.transport === 'auto' && settings.backend !== 'js');
  const native =
    wantsNative && hasNativeClass('UdpSocket') ? nativeClass<NativeUdpSocket, UdpArgs>('UdpSocket') : undefined;
  const transport = new NetTransport({
    bind: { ip, port: settings.bind.port },
    udp: settings.transport,
    native,
    // A stream may be silent for as long as the exchange may take: the other side may be busy with a large state.
    idleTimeoutMs: streamTimeoutMs(settings),
  });
  if (settings.unref) transport.unref();
  return { transport, packets: transport.udp };
}
