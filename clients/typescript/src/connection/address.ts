/**
 * The server's address, and the WebSocket URL behind it.
 *
 * A `ws://` or `wss://` URL is used as it is. For `http://` and `https://`, `GET /info` of the server names the
 * WebSocket URL (`sockets_url`).
 */
import { Refused } from "../errors.js";
import { type JsonObject } from "../json.js";
import { errorForStatus, parseRetryAfter, problemDetail, RetryConnection } from "./close-policy.js";

const PROTOCOLS = ["ws:", "wss:", "http:", "https:"];

/** Resolves the WebSocket URL and remembers it until `forget`. */
export class ServerAddress {
  readonly url: string;
  readonly #seconds: number;
  #websocketUrl: string | undefined;

  /** Throws TypeError for a URL of another kind. */
  constructor(url: string, seconds: number) {
    if (!URL.canParse(url) || !PROTOCOLS.includes(new URL(url).protocol)) {
      throw new TypeError(`url: "${url}" is not a ws, wss, http or https URL`);
    }
    this.url = url.replace(/\/+$/, "");
    this.#seconds = seconds;
  }

  /** Whether the address is that of the HTTP API, so that it has the routes of the server. */
  get isHttp(): boolean {
    return this.url.startsWith("http");
  }

  /** Throws Refused, Unauthenticated, Forbidden; RetryConnection while the server does not answer. */
  async websocketUrl(): Promise<string> {
    if (!this.isHttp) return this.url;
    this.#websocketUrl ??= await this.#requestWebsocketUrl();
    return this.#websocketUrl;
  }

  /** Resolve the URL again next time: a restarted server may listen on another port. */
  forget(): void {
    this.#websocketUrl = undefined;
  }

  async #requestWebsocketUrl(): Promise<string> {
    const info = await this.fetchJson("/info");
    if (typeof info["sockets_url"] === "string") return info["sockets_url"];
    const detail = `${this.url} reports no WebSocket URL. Pass the ws:// or wss:// URL.`;
    throw new Refused(detail, { reason: "no_sockets_url" });
  }

  /** Request a JSON object from the HTTP API. Throws the same as `websocketUrl`. */
  async fetchJson(path: string, init: RequestInit = {}): Promise<JsonObject> {
    const url = `${this.url}${path}`;
    const response = await this.#fetch(url, init);
    const body = await response.text().catch(() => "");
    if (!response.ok) {
      const detail = problemDetail(body) ?? `${url} was refused`;
      throw errorForStatus(response.status, detail, parseRetryAfter(response.headers.get("Retry-After")));
    }
    try {
      return Object(JSON.parse(body)) as JsonObject;
    } catch {
      throw new Refused(`${url} does not answer as an Agenthall server does`, { reason: "no_server" });
    }
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(url, { ...init, signal: AbortSignal.timeout(this.#seconds * 1000) });
    } catch (error) {
      throw new RetryConnection(`${url} cannot be reached: ${reasonOf(error)}`);
    }
  }
}

/** The reason why a connection failed. `fetch` hides it in `cause`, and a list of addresses in `errors`. */
export function reasonOf(error: unknown): string {
  const { cause, errors, message, code } = error as Error & { errors?: unknown[]; code?: string };
  const inner = cause ?? errors?.[0];
  return inner === undefined ? message || code || String(error) : reasonOf(inner);
}
