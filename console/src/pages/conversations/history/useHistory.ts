import type { Config, ThreadState } from "@langchain/langgraph-sdk";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { langgraph } from "../../../api/langgraph";

const PAGE_SIZE = 30;

/** The steps of a thread, the newest first, page by page. `head`: its latest checkpoint; another one reads again. */
export function useHistory(threadId: string, head: string | undefined) {
  return useInfiniteQuery({
    queryKey: ["threads", threadId, "history", head],
    queryFn: ({ pageParam }) =>
      langgraph.threads.getHistory(threadId, {
        limit: PAGE_SIZE,
        before: pageParam ? ({ configurable: { checkpoint_id: pageParam } } as Config) : undefined,
      }),
    initialPageParam: "",
    getNextPageParam: (last) =>
      last.length < PAGE_SIZE ? undefined : (last.at(-1)?.checkpoint?.checkpoint_id ?? undefined),
    placeholderData: keepPreviousData,
  });
}

/** The state at a checkpoint. Checkpoints never change, so it is asked for once. */
export function useStateAt(threadId: string, checkpointId: string | undefined) {
  return useQuery({
    queryKey: ["threads", threadId, "state", checkpointId],
    queryFn: ({ signal }) => langgraph.threads.getState(threadId, checkpointId, { signal }),
    enabled: checkpointId !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

export const checkpointOf = (state: ThreadState | undefined) => state?.checkpoint?.checkpoint_id ?? undefined;
export const parentOf = (state: ThreadState | undefined) => state?.parent_checkpoint?.checkpoint_id ?? undefined;
