/** Messages about jobs, which are sent again after a broken connection. */
import { Backoff } from "../connection/backoff.js";
import { Disconnected } from "../connection/message-channel.js";
import type { ReconnectingConnection } from "../connection/reconnecting-connection.js";
import { JobLost, Refused } from "../errors.js";
import type { JsonObject } from "../json.js";
import { isRegistrationGone, type Lease } from "../lease.js";

const FENCED = "fenced";

/** Sends each message under the registration and epoch of the moment. */
export class JobMessenger {
  constructor(
    private readonly connection: () => ReconnectingConnection,
    private readonly lease: Lease,
    private readonly beatNow: () => void,
  ) {}

  /**
   * Send until there is an answer. `params` is called for each attempt, and may throw JobLost.
   *
   * Throws JobLost when the message is fenced, Refused, and the final error of the connection.
   */
  async request(method: string, params: () => JsonObject): Promise<JsonObject> {
    const backoff = new Backoff(0.05, 2);
    for (;;) {
      await this.lease.settled.wait(); // rule 5
      const channel = await this.connection().channel();
      const { reference } = this.lease;
      try {
        return await channel.request(method, { ...reference, ...params() });
      } catch (error) {
        if (error instanceof Disconnected) this.connection().discard(channel);
        else if (!(error instanceof Refused)) throw error;
        else {
          this.#check(error, reference);
          await backoff.wait();
        }
      }
    }
  }

  /** Returns if the message is to be sent again. Throws JobLost, Refused. */
  #check(refused: Refused, reference: JsonObject): void {
    if (!this.lease.isCurrent(reference)) return;
    if (refused.reason === FENCED) throw new JobLost(refused.message);
    if (isRegistrationGone(refused) || refused.reason === "superseded")
      this.beatNow(); // its answer decides what follows
    else if (!refused.retryable) throw refused;
  }
}
