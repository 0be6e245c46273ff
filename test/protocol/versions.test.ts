import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { STATUS } from '../../src/kernels/contract.ts';
import { isAllowed, type Network, parseCidr } from '../../src/protocol/cidr.ts';
import { VersionCheck } from '../../src/protocol/versions.ts';
import { parseIp } from '../../src/util/address.ts';

interface Case {
  note: string;
  ok: boolean;
  local_alive_vsn: number[][];
  remote: { state: keyof typeof STATUS; vsn: number[] | null }[];
}
const { cases } = JSON.parse(
  readFileSync(new URL('../vectors/version-verification.json', import.meta.url), 'utf8'),
) as { cases: Case[] };

describe('VersionCheck', () => {
  for (const testCase of cases) {
    it(`${testCase.ok ? 'accepts' : 'refuses'}: ${testCase.note}`, () => {
      const check = new VersionCheck();
      for (const vsn of testCase.local_alive_vsn) check.add(STATUS.alive, Uint8Array.from(vsn), 0, vsn.length);
      for (const { state, vsn } of testCase.remote) {
        check.add(STATUS[state], Uint8Array.from(vsn ?? []), 0, vsn?.length ?? 0);
      }
      expect(check.verdict() === undefined).toBe(testCase.ok);
    });
  }
});

describe('isAllowed', () => {
  const networks = ['10.0.0.0/8', '192.168.4.0/22', 'fd00::/8', '1.2.3.4/32'].map((text) => parseCidr(text) as Network);
  const verdict = (text: string): boolean => {
    const ip = parseIp(text) as Uint8Array;
    return isAllowed(networks, ip, 0, ip.length);
  };

  it('compares exactly the bits of the prefix', () => {
    expect(['10.255.0.1', '192.168.7.255', 'fd12::1', '1.2.3.4'].map(verdict)).toEqual([true, true, true, true]);
    expect(['11.0.0.1', '192.168.8.0', 'fe80::1', '1.2.3.5'].map(verdict)).toEqual([false, false, false, false]);
  });

  it('treats the mapped form of an IPv4 address as that address', () => {
    expect(verdict('::ffff:10.1.2.3')).toBe(true);
    expect(verdict('::ffff:11.1.2.3')).toBe(false);
  });

  it('allows everything under a prefix of length 0, of the same family', () => {
    const all = [parseCidr('0.0.0.0/0') as Network];
    expect(isAllowed(all, parseIp('8.8.8.8') as Uint8Array, 0, 4)).toBe(true);
    expect(isAllowed(all, parseIp('fd00::1') as Uint8Array, 0, 16)).toBe(false);
  });

  it('does not parse what is not a network', () => {
    for (const text of ['10.0.0.0', '10.0.0.0/33', 'x/8', '10.0.0/8', '10.0.0.0/', '10.0.0.0/-1', 'fd00::/129']) {
      expect(parseCidr(text)).toBeUndefined();
    }
  });
});
