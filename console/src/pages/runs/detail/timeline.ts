import { queryOptions } from "@tanstack/react-query";
import { getJson } from "../../../api/client";
import { isActive, type ListedRun } from "../run";

export interface Span {
  id: string;
  parent_id: string | null;
  kind: "queue" | "attempt" | "node" | "model" | "tool" | "job";
  name: string;
  started_at: string;
  ended_at: string | null;
  status: "success" | "error" | "running" | "interrupted";
  detail: Record<string, unknown>;
}

export interface Frame {
  file: string;
  line: number;
  function: string;
}

/** The answer of GET /threads/{thread_id}/runs/{run_id}/timeline. */
export interface Timeline {
  run: ListedRun;
  trace_id: string | null;
  spans: Span[];
  events: { count: number | null; bytes: number | null };
  events_expired: boolean;
  tokens: { input: number | null; output: number | null };
  error: { type: string; message: string; frames: Frame[] } | null;
}

const LIVE_MILLISECONDS = 1_000;

/** The timeline of a run. It is read again each second until the run has ended. */
export const timelineQuery = (threadId: string, runId: string) =>
  queryOptions({
    queryKey: ["runs", "timeline", threadId, runId],
    queryFn: () =>
      getJson<Timeline>(`/threads/${encodeURIComponent(threadId)}/runs/${encodeURIComponent(runId)}/timeline`),
    refetchInterval: (query) => (query.state.data && isActive(query.state.data.run) ? LIVE_MILLISECONDS : false),
  });
