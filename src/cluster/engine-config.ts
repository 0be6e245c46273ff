import { getRandomValues } from 'node:crypto';
import { type EngineConfig, type EngineOptions, PROFILES } from '../protocol/config.ts';
import type { Address } from '../util/address.ts';
import type { Keyring } from '../wire/keyring.ts';
import type { HostHooks, HostSettings } from './options.ts';

/** Time for a whole stream exchange: the profile's, or what the tuning says. */
export function streamTimeoutMs({ profile, tuning }: Pick<HostSettings, 'profile' | 'tuning'>): number {
  return PROFILES[profile]({ ...tuning, name: '', address: { ip: new Uint8Array(4), port: 0 } }).tcpTimeoutMs;
}

/** What the engine is told: the profile, the tuning on top, and what the host found out (its address). */
export function engineConfig(
  settings: HostSettings,
  hooks: HostHooks,
  address: Address,
  keyring: Keyring,
): EngineConfig {
  const options: EngineOptions = {
    ...settings.tuning,
    name: settings.name,
    address,
    meta: settings.meta,
    rngSeed: settings.rngSeed,
    syncKey: getRandomValues(new Uint32Array(4)),
    protocolVersion: settings.protocolVersion,
    delegateProtocolMin: settings.delegateVersions.min,
    delegateProtocolMax: settings.delegateVersions.max,
    delegateProtocolVersion: settings.delegateVersions.current,
    label: settings.label,
    keyring,
    verifyIncoming: settings.verifyIncoming,
    verifyOutgoing: settings.verifyOutgoing,
    allowedCidrs: settings.allowedCidrs,
    probeEvents: settings.probeEvents,
    aliveFilter: hooks.aliveFilter,
    mergeFilter: hooks.mergeFilter,
    localState: hooks.localState,
    mergeRemoteState: hooks.mergeRemoteState,
  };
  return PROFILES[settings.profile](options);
}
