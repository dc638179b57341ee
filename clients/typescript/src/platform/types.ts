/** The parts of this package that differ between Node and browsers. `#platform` is one or the other. */
import type { ServerAddress } from "../connection/address.js";
import type { ClientError } from "../errors.js";
import type { RetryConnection } from "../connection/close-policy.js";
import type { Credentials } from "../connection/credentials.js";
import type { Timing } from "../timing.js";

export const SUBPROTOCOL = "mcp.v1";
/** Of a message from the server. The largest is a page of instances with all their metadata. */
export const MAX_RECEIVED_BYTES = 16 * 2 ** 20;

/** Where a WebSocket leads to, and what shows the credentials. */
export interface SocketTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Whether the handshake shows the credentials. If not, the first message does. */
  readonly isAuthenticated: boolean;
}

/** The events of one WebSocket. */
export interface SocketEvents {
  onOpen(): void;
  onMessage(text: string): void;
  /** The peer sent a ping or a pong. */
  onAlive(): void;
  /** `code` undefined: the connection broke. `error`: the handshake was refused, or why the connection broke. */
  onClose(code: number | undefined, reason: string, error?: ClientError | RetryConnection | Error): void;
}

export interface Socket {
  send(text: string): void;
  /** Send a ping. Undefined where the platform cannot. */
  ping: (() => void) | undefined;
  /** Close with the closing handshake. */
  close(): void;
  /** Drop the connection. */
  abort(): void;
}

/** An id that no other process uses, until `release`. */
export interface ClaimedInstanceId {
  readonly instanceId: string;
  release(): void;
}

export interface Platform {
  readonly defaultUrl: string;
  environment(name: string): string | undefined;
  resolveTarget(address: ServerAddress, credentials: Credentials): Promise<SocketTarget>;
  createSocket(target: SocketTarget, events: SocketEvents, timing: Timing): Socket;
  claimInstanceId(agentId: string): Promise<ClaimedInstanceId>;
  /** Call `callback` at the first SIGTERM. Returns a function that stops listening. */
  onFirstSigterm(callback: () => void): () => void;
}
