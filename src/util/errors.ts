/**
 * Every error that hearsay throws or reports carries one of these codes. They are stable: programs may switch on
 * them. docs/errors.md explains each, and a test compares the two lists.
 */
export const ERROR_CODES = [
  'ERR_CONFIG_INVALID',
  'ERR_ARGUMENT_INVALID',
  'ERR_BACKEND_UNAVAILABLE',
  'ERR_ARENA_INVALID',
  'ERR_META_TOO_LARGE',
  'ERR_MESSAGE_TOO_LARGE',
  'ERR_BROADCAST_TOO_LARGE',
  'ERR_KEY_INVALID',
  'ERR_KEY_NOT_FOUND',
  'ERR_KEY_IN_USE',
  'ERR_ENCRYPTION_OFF',
  'ERR_NAME_CONFLICT',
  'ERR_STREAM_FAILED',
  'ERR_STREAM_TIMEOUT',
  'ERR_JOIN_FAILED',
  'ERR_RESOLVE_FAILED',
  'ERR_BIND_FAILED',
  'ERR_MEMBER_UNKNOWN',
  'ERR_CLUSTER_STOPPED',
  'ERR_WORKER_FAILED',
  'ERR_TIMEOUT',
  'ERR_ESTIMATE_FAILED',
  'ERR_MAP_LIMIT',
  'ERR_MAP_CLOSED',
  'ERR_MAP_UNAVAILABLE',
  'ERR_SNAPSHOT_INVALID',
  'ERR_SNAPSHOT_FAILED',
  'ERR_ABORTED',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** The one error class of the library. `code` is stable, `message` is for people and says what to do. */
export class HearsayError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'HearsayError';
    this.code = code;
  }
}
