/** The filters of the trail, as they stand in the address. Times are those of the browser: "2026-01-31T12:00". */
export interface AuditFilters {
  actor?: string;
  action?: string;
  type?: string;
  id?: string;
  since?: string;
  until?: string;
}

export const RESOURCE_TYPES = [
  "assistant",
  "thread",
  "api_key",
  "manifest",
  "configuration",
  "instance",
  "brake",
  "job",
  "erasure",
] as const;

const NAMES = ["actor", "action", "type", "id", "since", "until"] as const;

export function readAuditFilters(raw: Record<string, unknown>): Record<string, unknown> & AuditFilters {
  // The router reads numbers in the address as such.
  const given = NAMES.map((name) => [name, typeof raw[name] === "number" ? `${raw[name]}` : raw[name]] as const);
  return Object.fromEntries(given.filter(([name, value]) => typeof value === "string" && isValid(name, value)));
}

function isValid(name: string, value: string): boolean {
  if (name === "type") return RESOURCE_TYPES.some((each) => each === value);
  if (name === "since" || name === "until") return !Number.isNaN(new Date(value).getTime());
  return value !== "";
}

/** The parameters of GET /audit. */
export function queryOf({ actor, action, type, id, since, until }: AuditFilters) {
  const instant = (local: string | undefined) => (local ? new Date(local).toISOString() : undefined);
  return {
    actor,
    action,
    resource_type: type as (typeof RESOURCE_TYPES)[number] | undefined,
    resource_id: id,
    since: instant(since),
    until: instant(until),
  };
}
