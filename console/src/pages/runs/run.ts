import type { Run } from "@langchain/langgraph-sdk";
import type { Tone } from "../../components/Badge";
import type { Status } from "./filters";

/** A run of GET /runs: a run of the LangGraph API, with its times. */
export interface ListedRun extends Omit<Run, "status" | "thread_id"> {
  thread_id: string | null;
  status: Status;
  graph_id: string;
  owner_id: string;
  kwargs: Record<string, unknown>;
  due_at: string;
  started_at: string | null;
  ended_at: string | null;
  attempts: number;
  assistant_name: string | null;
  wait_seconds: number;
  run_seconds: number | null;
  error: { type: string; message: string } | null;
}

export interface RunPage {
  runs: ListedRun[];
  next_cursor: string | null;
}

export const isActive = (run: Pick<ListedRun, "status">) => run.status === "pending" || run.status === "running";

export const TONES: Record<Status, Tone> = {
  pending: "neutral",
  running: "accent",
  success: "good",
  error: "bad",
  timeout: "bad",
  interrupted: "warn",
};
