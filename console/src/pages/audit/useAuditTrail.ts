import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { api, unwrap } from "../../api/client";
import type { components } from "../../api/schema";
import { useSettled } from "../../api/useSettled";
import { type AuditFilters, queryOf } from "./filters";

export type AuditEntry = components["schemas"]["AuditEntry"];

const PAGE_SIZE = 100;

/** Entries that match, newest first, page by page. A page may be empty and not the last. */
export function useAuditTrail(chosen: AuditFilters) {
  const typed = { actor: useSettled(chosen.actor), action: useSettled(chosen.action), id: useSettled(chosen.id) };
  const filters = { ...chosen, ...typed };
  return useInfiniteQuery({
    queryKey: ["audit", filters],
    queryFn: ({ pageParam, signal }) => {
      const query = { ...queryOf(filters), limit: PAGE_SIZE, cursor: pageParam };
      return unwrap(api.GET("/audit", { params: { query }, signal }));
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
  });
}
