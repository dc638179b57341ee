/** Read lists of instances page by page. */
import type { ReconnectingConnection } from "./connection/reconnecting-connection.js";
import type { JsonObject } from "./json.js";

const PAGE_SIZE = 100;
const LIVE_STATUSES = ["active", "draining"];

/** Yield all instances that `method` (`agent.list` or `agent.discover`) finds. */
export async function* iterateInstances(
  connection: ReconnectingConnection,
  method: string,
  filters: JsonObject,
): AsyncGenerator<JsonObject> {
  let cursor: JsonObject | undefined = {};
  while (cursor !== undefined) {
    const page = await connection.request(method, { ...filters, limit: PAGE_SIZE, ...cursor });
    yield* page["instances"] as JsonObject[];
    cursor = page["next_cursor"] ? { cursor: page["next_cursor"] } : undefined;
  }
}

/** Yield the instances that are alive, draining ones included. */
export async function* iterateLiveInstances(
  connection: ReconnectingConnection,
  filters: JsonObject,
): AsyncGenerator<JsonObject> {
  for (const status of LIVE_STATUSES) yield* iterateInstances(connection, "agent.list", { ...filters, status });
}
