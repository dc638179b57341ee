/** The registration of an instance, and the states of an AgentInstance. */
import { type JsonObject, toSnakeCase } from "./json.js";

/** connecting → active ⇄ reconnecting; active → draining; any → closed or failed. */
export type State = "connecting" | "active" | "reconnecting" | "draining" | "closed" | "failed";

/** The server's reply to `agent.register`. */
export interface Registration {
  readonly registrationId: string;
  readonly manifestId: string;
  readonly configId: string;
  readonly instanceId: string;
  /** Counts the registrations of this instance. */
  readonly epoch: number;
  /** The server did not know the instance before. */
  readonly isNew: boolean;
  readonly leaseTtlSeconds: number;
  readonly heartbeatIntervalSeconds: number;
}

const MEMBERS: readonly (keyof Registration)[] = [
  "registrationId",
  "manifestId",
  "configId",
  "instanceId",
  "epoch",
  "isNew",
  "leaseTtlSeconds",
  "heartbeatIntervalSeconds",
];

/** @internal */
export function registrationFromResult(result: JsonObject): Registration {
  return Object.fromEntries(MEMBERS.map((name) => [name, result[toSnakeCase(name)]])) as unknown as Registration;
}

/**
 * The params by which a message refers to a registration.
 * @internal
 */
export function referenceTo(registration: Registration): JsonObject {
  return { registration_id: registration.registrationId, epoch: registration.epoch };
}
