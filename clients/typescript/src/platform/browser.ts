/**
 * Browsers: the platform's WebSocket, which can send neither headers nor pings.
 *
 * With an http or https URL, a ticket shows the credentials (`POST /agents/tickets`). With a ws or wss URL, the first
 * message does.
 */
import type { ServerAddress } from "../connection/address.js";
import type { Credentials } from "../connection/credentials.js";
import { randomHex } from "../random.js";
import type { Timing } from "../timing.js";
import {
  type ClaimedInstanceId,
  type Platform,
  type Socket,
  type SocketEvents,
  SUBPROTOCOL,
  type SocketTarget,
} from "./types.js";

/** Browsers report it for a connection that broke, and for a refused handshake. */
const ABNORMAL = 1006;
const MAX_IDS = 1000;

export const platform: Platform = {
  /** The page's own server. */
  defaultUrl: globalThis.location?.origin ?? "http://127.0.0.1:2024",
  environment: () => undefined,
  resolveTarget,
  createSocket,
  claimInstanceId,
  onFirstSigterm() {
    throw new TypeError("drainOnSigterm: browsers have no signals");
  },
};

async function resolveTarget(address: ServerAddress, credentials: Credentials): Promise<SocketTarget> {
  const url = await address.websocketUrl();
  if (!address.isHttp) return { url, headers: {}, isAuthenticated: false };
  const headers = await credentials.headers();
  const { ticket } = await address.fetchJson("/agents/tickets", { method: "POST", headers });
  return { url: `${url}?ticket=${encodeURIComponent(String(ticket))}`, headers: {}, isAuthenticated: true };
}

function createSocket(target: SocketTarget, events: SocketEvents, timing: Timing): Socket {
  const socket = new WebSocket(target.url, [SUBPROTOCOL]);
  const timer = setTimeout(() => socket.close(), timing.answer * 1000);
  socket.onopen = () => {
    clearTimeout(timer);
    events.onOpen();
  };
  socket.onmessage = (event) => events.onMessage(String(event.data));
  socket.onclose = ({ code, reason }) => {
    clearTimeout(timer);
    events.onClose(code === ABNORMAL ? undefined : code, reason);
  };
  return {
    send: (text) => socket.send(text),
    ping: undefined,
    close: () => socket.close(1000),
    abort: () => socket.close(),
  };
}

/** Claim the first id of this agent that no other page of this browser uses: its digits are in localStorage. */
async function claimInstanceId(agentId: string): Promise<ClaimedInstanceId> {
  const [locks, storage] = [globalThis.navigator?.locks, findStorage()];
  for (let number = 0; locks && storage && number < MAX_IDS; number += 1) {
    const name = `agenthall-${agentId}-${number}`;
    const release = await lock(locks, name);
    if (release === undefined) continue;
    const digits = storage.getItem(name) ?? randomHex(6);
    storage.setItem(name, digits);
    return { instanceId: `browser-${digits}`, release };
  }
  return { instanceId: `browser-${randomHex(6)}`, release: () => undefined };
}

/** Undefined in a worker, and where the user forbids it. */
function findStorage(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}

/** Undefined when another page holds the lock. */
function lock(locks: LockManager, name: string): Promise<(() => void) | undefined> {
  return new Promise((resolve) => {
    void locks.request(name, { ifAvailable: true }, (held) => {
      if (held === null) return resolve(undefined);
      return new Promise<void>((release) => resolve(release));
    });
  });
}
