import type { Thread } from "@langchain/langgraph-sdk";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { api, unwrap } from "../../api/client";
import type { components } from "../../api/schema";
import { useSettled } from "../../api/useSettled";
import { type Filters, queryOf } from "./filters";

type ThreadSearch = components["schemas"]["ThreadSearch"];
const PAGE_SIZE = 50;
type Field = "thread_id" | "created_at" | "updated_at" | "metadata" | "status";
const FIELDS: Field[] = ["thread_id", "created_at", "updated_at", "metadata", "status"];
const ANY = { ids: null, metadata: null, values: null, status: null, text: null };
const EXTRACT = { first: "values.messages[0].content", last: "values.messages[-1].content" };

export type ListedThread = Pick<Thread, Field> & { extracted?: Record<string, unknown> };

/**
 * The threads that match, the last changed first, page by page, and how many there are. The SDK of LangGraph has no
 * parameter for words of messages.
 */
export function useThreads(filters: Filters) {
  const query = queryOf({ ...filters, q: useSettled(filters.q) });
  const list = useInfiniteQuery({
    queryKey: ["threads", "search", query],
    queryFn: async ({ pageParam, signal }) => {
      const body: ThreadSearch = {
        ...ANY,
        ...query,
        select: FIELDS,
        extract: EXTRACT,
        sort_by: "updated_at",
        sort_order: "desc",
        limit: PAGE_SIZE,
        offset: pageParam,
      };
      return (await unwrap(api.POST("/threads/search", { body, signal }))) as ListedThread[];
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
    queryFn: ({ signal }) => unwrap(api.POST("/threads/count", { body: { ...ANY, ...counted }, signal })),
    enabled: query !== null && !ids,
    placeholderData: keepPreviousData,
  });
  return { list, count, asks: query !== null };
}
