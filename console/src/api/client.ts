import createClient from "openapi-fetch";
import { authorizedFetch } from "./fetch";
import { apiRoot, apiUrl } from "./location";
import { fromBody } from "./problem";
import type { paths } from "./schema";

/** This server's own endpoints, typed from its OpenAPI document. */
export const api = createClient<paths>({ baseUrl: apiRoot, fetch: authorizedFetch });

/** The data of an answer of `api`. Throws a Problem. */
export async function unwrap<T>(
  answer: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<NonNullable<T>> {
  const { data, error, response } = await answer;
  if (error !== undefined || data === undefined || data === null) {
    throw fromBody(response.status, error, `The server answered ${response.status}.`);
  }
  return data;
}

/** Wait for an answer without a body. Throws a Problem. */
export async function completed(answer: Promise<{ error?: unknown; response: Response }>): Promise<void> {
  const { error, response } = await answer;
  if (!response.ok) throw fromBody(response.status, error, `The server answered ${response.status}.`);
}

/** GET of an endpoint that the generated types do not have yet. Throws a Problem. */
export async function getJson<T>(path: string, query: Record<string, string | number | undefined> = {}): Promise<T> {
  const url = new URL(path.replace(/^\//, ""), apiUrl);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, `${value}`);
  const response = await authorizedFetch(url);
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) throw fromBody(response.status, body, `The server answered ${response.status}.`);
  return body as T;
}
