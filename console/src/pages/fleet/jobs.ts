import type { Tone } from "../../components/Badge";

/** A job as operators see it: nothing that users wrote. */
export interface Job {
  job_id: string;
  agent_id: string;
  state: string;
  run_id: string | null;
  thread_id: string | null;
  attempt: number;
  max_attempts: number;
  registration_id: string | null;
  instance_id: string | null;
  events: number;
  created_at: string;
  accepted_at: string | null;
  ended_at: string | null;
  cancel_reason: string | null;
  error: unknown;
}

export interface JobsPage {
  jobs: Job[];
  next_cursor: string | null;
}

export const JOB_STATES = ["queued", "offered", "running", "succeeded", "failed", "cancelled", "expired"];

export const JOB_TONES: Record<string, Tone> = {
  running: "accent",
  offered: "accent",
  succeeded: "good",
  failed: "bad",
  expired: "bad",
  cancelled: "warn",
};

export const isOver = (job: Job) => job.ended_at !== null;

/** Seconds from a time to another, or to now. */
export function secondsBetween(from: string | null, to: string | null, now = Date.now()): number | null {
  return from === null ? null : Math.max(0, ((to === null ? now : Date.parse(to)) - Date.parse(from)) / 1000);
}
