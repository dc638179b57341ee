/** Node: the library `ws`, environment variables, signals, and instance ids in files. */
import type { IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import type { ServerAddress } from "../connection/address.js";
import { errorForStatus, parseRetryAfter, problemDetail } from "../connection/close-policy.js";
import type { Credentials } from "../connection/credentials.js";
import type { Timing } from "../timing.js";
import { claimInstanceId } from "./instance-ids.js";
import {
  MAX_RECEIVED_BYTES,
  type Platform,
  type Socket,
  type SocketEvents,
  SUBPROTOCOL,
  type SocketTarget,
} from "./types.js";

/** `ws` reports it for a connection that broke. */
const ABNORMAL = 1006;
const MAX_BODY_BYTES = 64 * 1024;

export const platform: Platform = {
  defaultUrl: "http://127.0.0.1:2024",
  environment: (name) => process.env[name] || undefined,
  resolveTarget,
  createSocket,
  claimInstanceId,
  onFirstSigterm(callback) {
    process.once("SIGTERM", callback);
    return () => process.removeListener("SIGTERM", callback);
  },
};

async function resolveTarget(address: ServerAddress, credentials: Credentials): Promise<SocketTarget> {
  return { url: await address.websocketUrl(), headers: await credentials.headers(), isAuthenticated: true };
}

function createSocket(target: SocketTarget, events: SocketEvents, timing: Timing): Socket {
  const socket = new WebSocket(target.url, [SUBPROTOCOL], {
    headers: { ...target.headers },
    perMessageDeflate: false,
    maxPayload: MAX_RECEIVED_BYTES,
    handshakeTimeout: timing.answer * 1000,
  });
  let failure: Error | undefined;
  socket.on("open", () => events.onOpen());
  socket.on("message", (data) => events.onMessage(data.toString()));
  socket.on("ping", () => events.onAlive());
  socket.on("pong", () => events.onAlive());
  socket.on("error", (error) => (failure ??= error));
  socket.on("unexpected-response", (_request, response) => {
    void readRefusal(response).then((refusal) => {
      failure = refusal;
      socket.terminate();
    });
  });
  socket.on("close", (code, reason) =>
    events.onClose(code === ABNORMAL ? undefined : code, reason.toString(), failure),
  );
  return {
    send: (text) => socket.send(text),
    ping: () => socket.ping(),
    close: () => socket.close(1000),
    abort: () => socket.terminate(),
  };
}

async function readRefusal(response: IncomingMessage): Promise<Error> {
  let body = "";
  try {
    for await (const chunk of response) {
      body += String(chunk);
      if (body.length > MAX_BODY_BYTES) break;
    }
  } catch {
    // the status is enough
  }
  const retryAfter = parseRetryAfter(response.headers["retry-after"]);
  return errorForStatus(response.statusCode ?? 0, problemDetail(body) ?? "the handshake was refused", retryAfter);
}
