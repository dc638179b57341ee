import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { getJson } from "../../api/client";
import { type Filters, queryOf } from "./filters";
import type { RunPage } from "./run";

const PAGE_SIZE = 50;
const EMPTY_PAGES = 10;
const LIVE_MILLISECONDS = 2_000;

/**
 * The runs that match, newest first. A page of the server looks at a bounded number of runs, so with filters it may
 * have none: some of those are passed over at once. The list is live as long as only its first page is loaded.
 */
export function useRuns(filters: Filters, isLive: boolean) {
  return useInfiniteQuery({
    queryKey: ["runs", "list", filters],
    queryFn: ({ pageParam }) => readPage(filters, pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
    refetchInterval: (query) => (isLive && (query.state.data?.pages.length ?? 1) === 1 ? LIVE_MILLISECONDS : false),
  });
}

async function readPage(filters: Filters, cursor: string | undefined): Promise<RunPage> {
  let page: RunPage = { runs: [], next_cursor: cursor ?? null };
  for (let count = 0; count < EMPTY_PAGES; count++) {
    const query = { ...queryOf(filters, new Date()), limit: PAGE_SIZE, cursor: page.next_cursor ?? undefined };
    page = await getJson<RunPage>("/runs", query);
    if (page.runs.length || !page.next_cursor) break;
  }
  return page;
}
