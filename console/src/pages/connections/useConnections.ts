import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { api, completed, unwrap } from "../../api/client";
import type { components, operations } from "../../api/schema";

export type Connection = components["schemas"]["Connection"];

export type Server = operations["get_connections_servers"]["responses"][200]["content"]["application/json"][number];

const KEY = ["connections"];

/** The caller's own connections to MCP servers. Nobody sees those of others. Read again when the user comes back from an authorization. */
export function useConnections() {
  return useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => unwrap(api.GET("/connections", { signal })),
    refetchOnWindowFocus: "always",
  });
}

/** The MCP servers that the caller can connect to. Members of several organizations have to name one. */
export function useServers(enabled: boolean) {
  return useQuery({
    enabled,
    queryKey: [...KEY, "servers"],
    queryFn: ({ signal }) => unwrap(api.GET("/connections/servers", { signal })),
    refetchOnWindowFocus: "always",
  });
}

/** Begin a connection. The user allows it at the `authorization_url` of the result, which is dropped when it expires. */
export function useBegin() {
  const begin = useMutation({
    mutationFn: ({ url }: Server) => unwrap(api.POST("/connections", { body: { url } })),
  });
  const { data, reset } = begin;
  useEffect(() => {
    if (!data) return;
    const timer = setTimeout(reset, data.expires_in * 1_000);
    return () => clearTimeout(timer);
  }, [data, reset]);
  return begin;
}

export function useDeletion() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ connection_id }: Connection) =>
      completed(api.DELETE("/connections/{connection_id}", { params: { path: { connection_id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: KEY }),
  });
}
