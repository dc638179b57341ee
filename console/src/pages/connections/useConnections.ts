import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, completed, unwrap } from "../../api/client";
import type { components } from "../../api/schema";

export type Connection = components["schemas"]["Connection"];

const KEY = ["connections"];

/** The caller's own connections to MCP servers. Nobody sees those of others. */
export function useConnections() {
  return useQuery({ queryKey: KEY, queryFn: ({ signal }) => unwrap(api.GET("/connections", { signal })) });
}

export function useDeletion() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ connection_id }: Connection) =>
      completed(api.DELETE("/connections/{connection_id}", { params: { path: { connection_id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: KEY }),
  });
}
