/** Where the client reports what it does: a subset of `console`. */
export interface Logger {
  info(message: string): void;
  warn(message: string): void;
  error(message: string, error?: unknown): void;
}

/** Warnings and errors go to the console. */
export const DEFAULT_LOGGER: Logger = {
  info: () => undefined,
  warn: (message) => console.warn(`agenthall: ${message}`),
  error: (message, ...error) => console.error(`agenthall: ${message}`, ...error),
};
