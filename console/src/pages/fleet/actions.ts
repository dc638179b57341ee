import { api, unwrap } from "../../api/client";
import { fromBody } from "../../api/problem";
import type { Instance } from "./instances";

const of = ({ registration_id }: Instance) => ({ params: { path: { registration_id } } });

export const drain = (instance: Instance, reason: string | null) =>
  unwrap(
    api.POST("/agents/instances/{registration_id}/drain", {
      ...of(instance),
      body: { epoch: instance.epoch, reason: reason ?? "drained in the console" },
    }),
  );

export const cordon = (instance: Instance, reason: string | null) =>
  unwrap(api.POST("/agents/instances/{registration_id}/cordon", { ...of(instance), body: { reason } }));

export const uncordon = (instance: Instance) =>
  unwrap(api.POST("/agents/instances/{registration_id}/uncordon", of(instance)));

export const cancelJob = (job_id: string, reason: string | null, grace_seconds: number) =>
  unwrap(api.POST("/agents/jobs/{job_id}/cancel", { params: { path: { job_id } }, body: { reason, grace_seconds } }));

/** The answer is 204, without data. */
export async function releaseBrake(agent_id: string) {
  const { error, response } = await api.DELETE("/agents/brakes/{agent_id}", { params: { path: { agent_id } } });
  if (!response.ok) throw fromBody(response.status, error, `The server answered ${response.status}.`);
}
