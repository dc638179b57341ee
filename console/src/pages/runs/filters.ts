/** The filters of the list of runs. They stand in the address. */
export interface Filters {
  status?: Status;
  /** The id of an assistant. */
  agent?: string;
  /** The id of a thread. */
  thread?: string;
  since?: Since;
  /** The bounds of `since: "custom"`, as ISO 8601. */
  from?: string;
  until?: string;
}

export const STATUSES = ["pending", "running", "success", "error", "timeout", "interrupted"] as const;
export type Status = (typeof STATUSES)[number];

export const PERIODS = { "15m": 900, "1h": 3_600, "1d": 86_400, "7d": 604_800 } as const;
export type Since = keyof typeof PERIODS | "custom";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
export const isUuid = (text: string) => UUID.test(text);

export function readFilters(raw: Record<string, unknown>): Record<string, unknown> & Filters {
  const { status, agent, thread, since, from, until } = raw;
  const isCustom = since === "custom";
  return {
    ...(STATUSES.some((each) => each === status) ? { status: status as Status } : {}),
    ...(typeof agent === "string" && isUuid(agent) ? { agent } : {}),
    ...(typeof thread === "string" && isUuid(thread) ? { thread } : {}),
    ...(isCustom || (typeof since === "string" && Object.hasOwn(PERIODS, since)) ? { since: since as Since } : {}),
    ...(isCustom && isTime(from) ? { from } : {}),
    ...(isCustom && isTime(until) ? { until } : {}),
  };
}

const isTime = (value: unknown): value is string => typeof value === "string" && !Number.isNaN(Date.parse(value));

/** The query of GET /runs. A period ends now. */
export function queryOf(filters: Filters, now: Date): Record<string, string | undefined> {
  const { status, agent, thread, since, from, until } = filters;
  const seconds = since && since !== "custom" ? PERIODS[since] : undefined;
  const begin = seconds ? new Date(now.getTime() - seconds * 1000).toISOString() : from;
  return { status, assistant_id: agent, thread_id: thread, created_after: begin, created_before: until };
}

/** ISO 8601 for the value of an input of type datetime-local, and back. Both are in the time zone of the browser. */
export function toLocal(iso: string | undefined): string {
  if (!iso) return "";
  const at = new Date(iso);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export const fromLocal = (text: string) => (text ? new Date(text).toISOString() : undefined);
