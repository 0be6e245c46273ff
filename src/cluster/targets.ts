import { type Address, parseAddress } from '../util/address.ts';
import { HearsayError } from '../util/errors.ts';

/** An address that somebody gave in place of a member's name. Throws ERR_MEMBER_UNKNOWN. */
export function targetAddress(text: string): Address {
  try {
    return parseAddress(text);
  } catch (cause) {
    throw new HearsayError(
      'ERR_MEMBER_UNKNOWN',
      `no member is named ${JSON.stringify(text)}, and it is no "ip:port" either`,
      { cause },
    );
  }
}

export function joinFailed(seeds: readonly string[], problems: readonly string[]): HearsayError {
  return new HearsayError(
    'ERR_JOIN_FAILED',
    `none of the seeds ${seeds.join(', ')} answered (${problems.join('; ')}); check that they run, that UDP and TCP are open, and that label and keys agree`,
  );
}
