/** Instances as the registry lists them. */
import { type JsonObject, toCamelCase } from "./json.js";

/**
 * An instance at the moment when the server answered.
 *
 * Secrets in `connectionDetails` and `runtimeConfig` are `[secret]`.
 */
export interface InstanceRecord {
  readonly registrationId: string;
  readonly tenantId: string;
  readonly manifestId: string;
  readonly agentId: string;
  readonly instanceId: string;
  readonly name: string;
  readonly epoch: number;
  readonly registrationStatus: "active" | "draining" | "inactive";
  readonly healthStatus: "starting" | "healthy" | "degraded" | "unhealthy" | "stale";
  /** Why it drains or ended. */
  readonly statusReason: string | null;
  readonly agentType: string | null;
  readonly version: string | null;
  readonly zone: string | null;
  readonly capabilities: readonly string[];
  readonly tags: readonly string[];
  /** `load.workload` of the last heartbeat that had one. */
  readonly workload: number;
  readonly load: JsonObject;
  readonly metrics: JsonObject;
  readonly connectionDetails: JsonObject;
  readonly runtimeConfig: JsonObject;
  readonly registeredBy: string | null;
  readonly registeredAt: Date | null;
  readonly connectedAt: Date | null;
  readonly updatedAt: Date | null;
  readonly lastHealthCheck: Date | null;
  /** Null once the instance has ended. */
  readonly leaseExpiresAt: Date | null;
}

const TIMES = ["lastHealthCheck", "leaseExpiresAt", "registeredAt", "connectedAt", "updatedAt"];

/** @internal */
export function instanceFromJson(value: JsonObject): InstanceRecord {
  const members = Object.entries(value).map(([wireName, member]) => {
    const name = toCamelCase(wireName);
    return [name, TIMES.includes(name) && member !== null ? new Date(String(member)) : member];
  });
  return Object.fromEntries(members) as InstanceRecord;
}
