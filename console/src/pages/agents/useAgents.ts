import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { langgraph } from "../../api/langgraph";
import { useSettled } from "../../api/useSettled";
import type { Filters } from "./filters";

const PAGE_SIZE = 200;
const FIELDS = ["assistant_id", "graph_id", "name", "description", "metadata", "version", "updated_at"] as const;

/** The assistants that match, page by page, and how many there are. The API has no filter for the source. */
export function useAgents({ q, graph }: Filters) {
  const filter = { name: useSettled(q), graphId: graph };
  const list = useInfiniteQuery({
    queryKey: ["assistants", "search", filter],
    queryFn: ({ pageParam, signal }) =>
      langgraph.assistants.search({
        ...filter,
        select: [...FIELDS],
        sortBy: "name",
        sortOrder: "asc",
        limit: PAGE_SIZE,
        offset: pageParam,
        signal,
      }),
    initialPageParam: 0,
    getNextPageParam: (last, all) => (last.length < PAGE_SIZE ? undefined : all.length * PAGE_SIZE),
    placeholderData: keepPreviousData,
  });
  const count = useQuery({
    queryKey: ["assistants", "count", filter],
    queryFn: ({ signal }) => langgraph.assistants.count({ ...filter, signal }),
    placeholderData: keepPreviousData,
  });
  return { list, count };
}
