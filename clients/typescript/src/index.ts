/**
 * Register a process as an agent instance with an Agenthall server, keep it alive, find and watch others.
 *
 *     const me = await new AgentInstance("ide-agent", { capabilities: ["debugging"] }).open();
 *     console.log(me.registrationId, me.epoch);
 *     await me.untilDraining();
 *     await me.close();
 *
 * @module
 */
export {
  Client,
  type ClientOptions,
  type DiscoverFilters,
  type ListFilters,
  type WatchFilters,
  type WatchOptions,
} from "./client.js";
export type { CredentialOptions, TokenSource } from "./connection/credentials.js";
export {
  ClientError,
  Closed,
  Forbidden,
  JobCancelled,
  JobLost,
  Refused,
  Superseded,
  Unauthenticated,
  Unreachable,
} from "./errors.js";
export type { AgentEvent, EventKind } from "./events.js";
export type { Health, HeartbeatCallbackOptions } from "./heartbeat-callbacks.js";
export { AgentInstance, type AgentInstanceOptions, type InstanceDescription } from "./instance.js";
export type { InstanceRecord } from "./instance-record.js";
export type { Job, JobEvent, JobWork } from "./jobs/job.js";
export type { JobEventName } from "./jobs/reporter.js";
export type { JobRequest } from "./jobs/request.js";
export type { JobHandler } from "./jobs/serving.js";
export type { Json, JsonObject } from "./json.js";
export type { Logger } from "./logger.js";
export type { Registration, State } from "./registration.js";
export type { Timing } from "./timing.js";
