/** The part of a pino logger that hearsay uses; console-like objects with these methods serve as well. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type LogLevel = keyof Logger;

const nothing = (): void => {};

/** The default: silence. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
