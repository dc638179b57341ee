import type { Thread } from "@langchain/langgraph-sdk";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { langgraph } from "../../api/langgraph";
import { type Filters, queryOf } from "./filters";

const PAGE_SIZE = 50;
const FIELDS = ["thread_id", "created_at", "updated_at", "metadata", "status"] as const;
const EXTRACT = { first: "values.messages[0].content", last: "values.messages[-1].content" };

export type ListedThread = Pick<Thread, (typeof FIELDS)[number]> & { extracted?: Record<string, unknown> };

/** The threads that match, the last changed first, page by page, and how many there are. */
export function useThreads(filters: Filters) {
  const query = queryOf(filters);
  const list = useInfiniteQuery({
    queryKey: ["threads", "search", query],
    queryFn: async ({ pageParam, signal }) => {
      const found = await langgraph.threads.search({
        ...query,
        select: [...FIELDS],
        extract: EXTRACT,
        sortBy: "updated_at",
        sortOrder: "desc",
        limit: PAGE_SIZE,
        offset: pageParam,
        signal,
      });
      return found as ListedThread[];
    },
    enabled: query !== null,
    initialPageParam: 0,
    getNextPageParam: (last, all) => (last.length < PAGE_SIZE ? undefined : all.length * PAGE_SIZE),
    placeholderData: keepPreviousData,
    refetchInterval: 15_000,
  });
  const { ids, ...counted } = query ?? {};
  const count = useQuery({
    queryKey: ["threads", "count", counted],
    queryFn: ({ signal }) => langgraph.threads.count({ ...counted, signal }),
    enabled: query !== null && !ids,
    placeholderData: keepPreviousData,
  });
  return { list, count, asks: query !== null };
}
