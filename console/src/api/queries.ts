import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { toProblem } from "./problem";

const RETRIES = 2;

/** Retry what may pass by itself: a server that restarts, a database that is busy. */
function retry(count: number, thrown: unknown): boolean {
  const { status } = toProblem(thrown);
  return count < RETRIES && (status === 0 || status >= 502);
}

export const queryClient = new QueryClient({
  queryCache: new QueryCache(),
  mutationCache: new MutationCache(),
  defaultOptions: { queries: { retry, staleTime: 5_000, refetchOnWindowFocus: true } },
});
