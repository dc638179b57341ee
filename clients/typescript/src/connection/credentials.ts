/** Credentials of the client, as HTTP headers and as params of `auth`. */

export type TokenSource = () => string | Promise<string>;

export interface CredentialOptions {
  /** Default: AGENTHALL_API_KEY, unless there is a token. */
  apiKey?: string;
  /**
   * A JWT (or an API key), or a function that returns one. The function is called for each connection and when the
   * token in use is about to expire.
   */
  token?: string | TokenSource;
  /** The organization, for credentials of several. Default: AGENTHALL_TENANT. */
  tenantId?: string;
}

/** An API key or a token. The fields are private so that no log shows them. */
export class Credentials {
  readonly #apiKey: string | undefined;
  readonly #token: string | TokenSource | undefined;
  readonly #tenantId: string | undefined;

  /** Throws TypeError for both a key and a token. */
  constructor(options: CredentialOptions, environment: (name: string) => string | undefined) {
    if (options.apiKey !== undefined && options.token !== undefined) {
      throw new TypeError("Pass only one of apiKey and token.");
    }
    this.#token = options.token;
    this.#apiKey = options.apiKey ?? (this.#token === undefined ? environment("AGENTHALL_API_KEY") : undefined);
    this.#tenantId = options.tenantId || environment("AGENTHALL_TENANT");
  }

  get canRefresh(): boolean {
    return typeof this.#token === "function";
  }

  async headers(): Promise<Record<string, string>> {
    const headers: Record<string, string> = this.#tenantId ? { "X-Organization-Id": this.#tenantId } : {};
    if (this.#apiKey !== undefined) headers["X-API-Key"] = this.#apiKey;
    else if (this.#token !== undefined) headers["Authorization"] = `Bearer ${await this.#getToken()}`;
    return headers;
  }

  /** Params of `auth`, which shows or renews the credentials on an open connection. Undefined: there are none. */
  async authParams(): Promise<Record<string, string> | undefined> {
    const tenant: Record<string, string> = this.#tenantId ? { tenant_id: this.#tenantId } : {};
    if (this.#apiKey !== undefined) return { api_key: this.#apiKey, ...tenant };
    return this.#token === undefined ? undefined : { token: await this.#getToken(), ...tenant };
  }

  async #getToken(): Promise<string> {
    return typeof this.#token === "function" ? await this.#token() : String(this.#token);
  }
}
