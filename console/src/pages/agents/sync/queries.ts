import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, getJson, unwrap } from "../../../api/client";

export interface Counters {
  total: number;
  created: number;
  updated: number;
  skipped: number;
  failed: number;
  retired: number;
}

export interface SyncPass {
  scope: string;
  source: string;
  at: string;
  finished_at: string | null;
  seconds: number | null;
  replica: string;
  counters: Counters | null;
  failure: string | null;
}

export interface SyncFailure {
  agent_id: string;
  source: string;
  name: string | null;
  reason: string;
  at: string;
}

export interface SyncSource {
  catalogue: string;
  feed_connected: boolean;
  last_pass: SyncPass | null;
  contract: { reachable: boolean; problems: string[]; absent_columns?: string[]; can_write_back?: boolean };
}

/** The answer of GET /agents/sync. */
export interface SyncStatus {
  scope: string;
  passes: SyncPass[];
  failures: { total: number; items: SyncFailure[]; next_after: string | null };
  sources: Record<string, SyncSource>;
}

/** The effect on one agent. `before` and `after` are there in a dry run of this agent alone. */
export interface AgentChange {
  agent_id: string;
  action: "created" | "updated" | "failed" | "retired" | "skipped";
  name: string | null;
  fields: string[];
  reason: string | null;
  before?: Record<string, unknown> | null;
  after?: Record<string, unknown> | null;
}

/** The answer of POST /agents/sync. */
export interface SyncReport {
  scope: string | null;
  agent_id: string | null;
  dry_run: boolean;
  at: string;
  seconds: number;
  counters: Counters;
  changes: AgentChange[];
  changes_not_listed: number;
}

/** The subject of a sync: one agent, or a scope in the grammar of AGENT_SYNC_SCOPE; nothing means the server's own scope. */
export type Target = { agent_id: string } | { scope?: string };

const FAILURES = 200;

export const syncQuery = queryOptions({
  queryKey: ["agent-sync"],
  queryFn: () => getJson<SyncStatus>("/agents/sync", { limit: FAILURES }),
  refetchInterval: 10_000,
});

export const moreFailures = (after: string) =>
  getJson<SyncStatus>("/agents/sync", { limit: FAILURES, after }).then((status) => status.failures);

export const runSync = (target: Target, isDry: boolean) =>
  unwrap(
    api.POST("/agents/sync", { body: { scope: null, agent_id: null, ...target, dry_run: isDry } }),
  ) as Promise<unknown> as Promise<SyncReport>;

/** A dry run (`isDry`), or the sync itself. The latter makes every page read assistants again. */
export function useSync(isDry: boolean) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (target: Target) => runSync(target, isDry),
    onSuccess: async () => {
      if (isDry) return;
      await queries.invalidateQueries({ queryKey: ["assistants"] });
      await queries.invalidateQueries({ queryKey: syncQuery.queryKey });
    },
  });
}
