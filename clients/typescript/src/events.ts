/** Events of the change feed. */
import { type InstanceRecord, instanceFromJson } from "./instance-record.js";
import type { JsonObject } from "./json.js";

/**
 * This package adds two kinds: `listed` (the instance existed when the watch began) and `reset` (events were lost:
 * forget all instances, a new list follows).
 */
export type EventKind =
  | "registered"
  | "reconnected"
  | "updated"
  | "health"
  | "draining"
  | "deregistered"
  | "disconnected"
  | "stale"
  | "revived"
  | "inactive"
  | "deleted"
  | "listed"
  | "reset";

/** One change of one instance. All watchers see the same order. */
export interface AgentEvent {
  readonly kind: EventKind;
  /** Pass it as `after` to resume. */
  readonly position: number;
  readonly agentId?: string;
  readonly registrationId?: string;
  /** The instance at that moment. Not with `reset`. */
  readonly instance?: InstanceRecord;
  readonly at?: Date;
}

/**
 * The event in an `agent.event` notification.
 * @internal
 */
export function eventFromParams(params: JsonObject): AgentEvent {
  return {
    ...eventOf(params["kind"] as EventKind, Number(params["position"]), params, params["instance"] as JsonObject),
    ...(params["at"] ? { at: new Date(String(params["at"])) } : {}),
  };
}

/** @internal */
export function listedEvent(instance: JsonObject, position: number): AgentEvent {
  return eventOf("listed", position, instance, instance);
}

function eventOf(kind: EventKind, position: number, ids: JsonObject, instance: JsonObject): AgentEvent {
  const [agentId, registrationId] = [String(ids["agent_id"]), String(ids["registration_id"])];
  return { kind, position, agentId, registrationId, instance: instanceFromJson(instance) };
}
