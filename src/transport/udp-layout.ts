import { PACKET } from '../kernels/layout.ts';

/**
 * What the addon and udp-batched.ts share: an array of descriptors in the form of the codec's PACKET (stride 48), followed by
 * datagram bytes. For sending, peer = receiver, localIp = sender address (0.0.0.0: the system's choice), `result` = what the
 * system answered: 0 sent, else -errno; flags as below. native/io/udp_batch.hpp holds the same numbers.
 */
export const DESCRIPTOR = PACKET;

export const DESCRIPTOR_FLAG = {
  /** The failure speaks about the receiver. */
  unreachable: 1,
  /** localIp is known. */
  localKnown: 2,
} as const;

/** Datagrams of one receive or send call. */
export const BATCH_PACKETS = 64;
/** Room for one received datagram: the largest that IP can carry. */
export const SLOT_BYTES = 65536;
export const DESCRIPTORS_BYTES = BATCH_PACKETS * DESCRIPTOR.stride;
