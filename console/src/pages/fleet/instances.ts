import type { Tone } from "../../components/Badge";

export type Health = "starting" | "healthy" | "degraded" | "unhealthy" | "stale";

/** The circuit breaker of an instance that takes jobs, as `GET /agents/instances/{id}` has it. */
export interface Slots {
  slots: number;
  used: number;
  breaker: string;
  failures: number;
  ejected_until: string | null;
  reason: string | null;
}

/** An instance as lists, watches and its own endpoint give it. Only the last has `jobs`. */
export interface Instance {
  registration_id: string;
  tenant_id: string;
  agent_id: string;
  instance_id: string;
  name: string;
  version: string | null;
  zone: string | null;
  capabilities: string[];
  tags: string[];
  registration_status: "active" | "draining" | "inactive";
  health_status: Health;
  status_reason: string | null;
  last_health_check: string | null;
  lease_expires_at: string | null;
  epoch: number;
  workload: number;
  load: Record<string, unknown>;
  metrics: Record<string, unknown>;
  connection_details: Record<string, unknown>;
  runtime_config: Record<string, unknown>;
  registered_by: string | null;
  registered_at: string;
  connected_at: string;
  updated_at: string;
  cordoned_at: string | null;
  cordoned_by: string | null;
  cordon_reason: string | null;
  jobs?: Slots | null;
}

export type Condition = Health | "disconnected" | "cordoned" | "draining" | "ended";

/** Words and colours of conditions, from the best to the worst. */
export const CONDITIONS: { id: Condition; title: string; tone: Tone; about: string }[] = [
  { id: "healthy", title: "Healthy", tone: "good", about: "It can be given work" },
  { id: "starting", title: "Starting", tone: "accent", about: "It reports that it starts" },
  { id: "draining", title: "Draining", tone: "accent", about: "It ends its work and gets no more" },
  { id: "cordoned", title: "Cordoned", tone: "warn", about: "An operator keeps it from work" },
  { id: "degraded", title: "Degraded", tone: "warn", about: "It reports that it works badly, and can be given work" },
  { id: "disconnected", title: "Disconnected", tone: "warn", about: "Its connection broke; its lease still lasts" },
  { id: "unhealthy", title: "Unhealthy", tone: "bad", about: "It reports that it cannot work" },
  { id: "stale", title: "Stale", tone: "bad", about: "Its lease has lapsed; a heartbeat would revive it" },
  { id: "ended", title: "Ended", tone: "neutral", about: "Its registration is over" },
];

/** One word for the state of an instance: what keeps it from work comes first. */
export function conditionOf(instance: Instance, connected = true): Condition {
  const { health_status, registration_status, cordoned_at } = instance;
  if (health_status === "stale") return instance.lease_expires_at === null ? "ended" : "stale";
  if (registration_status === "inactive") return "ended";
  if (!connected) return "disconnected";
  if (registration_status === "draining") return "draining";
  return cordoned_at ? "cordoned" : health_status;
}

export const isCondition = (value: unknown): value is Condition => CONDITIONS.some(({ id }) => id === value);

export function describeCondition(condition: Condition) {
  return (
    CONDITIONS.find(({ id }) => id === condition) ?? {
      id: condition,
      title: condition,
      tone: "neutral" as const,
      about: "",
    }
  );
}
