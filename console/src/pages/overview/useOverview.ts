import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { getJson } from "../../api/client";
import { may, useMe } from "../../api/me";
import { toProblem } from "../../api/problem";
import type { MetricsHistory } from "./points";

/** The numbers of this moment, as `GET /overview` gives them. */
export interface Overview {
  at: string;
  runs: { pending: number; running: number; oldest_pending_seconds: number | null; unserved: number };
  open_streams: number;
  instances: { by_state: Record<string, number> };
  jobs: { queued: number; running: number };
  agent_sync: Record<string, unknown>;
  database: {
    ok: boolean;
    version: string;
    size_bytes: number | null;
    connections: { used: number; max: number };
  };
  replicas: { process: string; version: string | null }[];
  grafana_url: string | null;
}

export type Window = MetricsHistory["window"];

/** `isReduced`: the caller may not see the numbers of the server, or the server has none. */
export function useOverview(window: Window) {
  const me = useMe();
  const allowed = !me.isPending && may(me.data, "metrics.read");
  const now = useQuery({
    queryKey: ["overview"],
    queryFn: () => getJson<Overview>("/overview"),
    enabled: allowed,
    refetchInterval: (query) => (isUnavailable(query.state.error) ? false : 5_000),
  });
  const hour = useHistory("hour", allowed);
  const day = useHistory("day", allowed && window === "day");
  return {
    now,
    hour,
    history: window === "day" ? day : hour,
    isReduced: (!me.isPending && !allowed) || (now.isError && isUnavailable(now.error)),
  };
}

const useHistory = (window: Window, enabled: boolean) =>
  useQuery({
    queryKey: ["metrics", "history", window],
    queryFn: () => getJson<MetricsHistory>("/metrics/history", { window }),
    enabled,
    refetchInterval: (query) => (isUnavailable(query.state.error) ? false : 30_000),
    placeholderData: keepPreviousData,
  });

const isUnavailable = (error: unknown) => error !== null && toProblem(error).isUnavailable;
