import { useQuery } from "@tanstack/react-query";
import { getJson } from "../../api/client";
import { authorizedFetch } from "../../api/fetch";
import { apiUrl } from "../../api/location";
import { may, useMe } from "../../api/me";
import { fromBody, toProblem } from "../../api/problem";

/** `GET /ok`, whose answer has the same form with 200 and 503. */
export interface Readiness {
  ok: boolean;
  services: Record<string, Record<string, unknown>>;
}

export interface Doctor {
  passed: boolean;
  checks: { name: string; passed: boolean; text: string }[];
}

export interface SyncPass {
  scope: string;
  source?: string;
  at: string;
  replica: string;
  seconds: number | null;
  counters: Record<string, number> | null;
  failure: string | null;
}

/** The parts of `GET /agents/sync` that the page shows. */
export interface SyncStatus {
  scope: string;
  catalogue: string;
  feed: { connected: boolean; installed: boolean | null; polling: boolean; waiting: number; failure: string | null };
  last_pass: SyncPass | null;
  passes: SyncPass[];
  failures: { total: number; items: Record<string, unknown>[] };
  contract: { reachable: boolean; problems: string[] };
}

const ATTEMPTS = 10;

/** The checks may take longer than a request: they go on meanwhile, and a later request has their result. */
const takesLong = (error: unknown) => toProblem(error).code === "deadline_exceeded";

async function readReadiness(): Promise<Readiness> {
  const response = await authorizedFetch(new URL("ok", apiUrl));
  const body: unknown = await response.json().catch(() => null);
  if (typeof body === "object" && body !== null && "services" in body) return body as Readiness;
  throw fromBody(response.status, body, `The server answered ${response.status}.`);
}

export function useHealth() {
  const me = useMe();
  const can = (operation: string) => !me.isPending && may(me.data, operation);
  const readiness = useQuery({ queryKey: ["ok"], queryFn: readReadiness, refetchInterval: 5_000 });
  const doctor = useQuery({
    queryKey: ["doctor"],
    queryFn: () => getJson<Doctor>("/doctor"),
    enabled: can("doctor.read"),
    // The checks load every graph: they are made when somebody asks.
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
    retry: (count, error) => count < ATTEMPTS && takesLong(error),
    retryDelay: 500,
  });
  const sync = useQuery({
    queryKey: ["agents", "sync", "status"],
    queryFn: () => getJson<SyncStatus>("/agents/sync", { limit: 100 }),
    enabled: can("agent_sync.read"),
    refetchInterval: 15_000,
  });
  return { readiness, doctor, sync, mayCheck: can("doctor.read"), maySync: can("agent_sync.read") };
}
