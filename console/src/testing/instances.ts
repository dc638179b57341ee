import type { Entry } from "../pages/fleet/fleetState";
import type { Instance } from "../pages/fleet/instances";

/** A healthy instance for tests. */
export function anInstance(changed: Partial<Instance> = {}): Instance {
  return {
    registration_id: "00000000-0000-4000-8000-000000000001",
    tenant_id: "0a000000-0000-4000-8000-000000000001",
    agent_id: "bot",
    instance_id: "bot-1",
    name: "bot",
    version: "1.0.0",
    zone: null,
    capabilities: [],
    tags: [],
    registration_status: "active",
    health_status: "healthy",
    status_reason: null,
    last_health_check: "2026-01-01T00:00:00Z",
    lease_expires_at: "2026-01-01T00:00:15Z",
    epoch: 1,
    workload: 0,
    load: {},
    metrics: {},
    connection_details: {},
    runtime_config: {},
    registered_by: null,
    registered_at: "2026-01-01T00:00:00Z",
    connected_at: "2026-01-01T00:00:00Z",
    updated_at: "2026-01-01T00:00:00Z",
    cordoned_at: null,
    cordoned_by: null,
    cordon_reason: null,
    ...changed,
  };
}

export const anEntry = (changed: Partial<Instance> = {}, connected = true): Entry => {
  const instance = anInstance(changed);
  return { instance, connected, position: 0, order: instance.instance_id };
};
