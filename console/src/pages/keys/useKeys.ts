import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, completed, getJson, unwrap } from "../../api/client";
import type { components } from "../../api/schema";

type Body = components["schemas"]["KeyBody"];

export interface Key {
  prefix: string;
  name: string;
  status: "active" | "expired" | "revoked";
  identity: string;
  kind: string;
  organizations: string[];
  /** Null: not limited. The same for `agents` and `assistants`. */
  scopes: string[] | null;
  agents: string[] | null;
  assistants: string[] | null;
  created_at: string;
  created_by: string | null;
  expires_at: string | null;
  revoked_at: string | null;
  rotated_at: string | null;
  /** Until when the secret before the last rotation is valid. */
  previous_until: string | null;
  last_used_at: string | null;
}

const PAGE_SIZE = 200;

/** Keys, the newest first, page by page. */
export function useKeys(organization: string | undefined) {
  return useInfiniteQuery({
    queryKey: ["keys", organization],
    queryFn: ({ pageParam }) =>
      getJson<Key[]>("/keys", { organization_id: organization, limit: PAGE_SIZE, offset: pageParam }),
    initialPageParam: 0,
    getNextPageParam: (last, all) => (last.length < PAGE_SIZE ? undefined : all.length * PAGE_SIZE),
  });
}

/** Changes of keys. The answer of `create` and `rotate` has the secret, which the cache does not keep. */
export function useKeyChanges() {
  const queries = useQueryClient();
  const options = { onSettled: () => queries.invalidateQueries({ queryKey: ["keys"] }), gcTime: 0 };
  const create = useMutation({
    mutationFn: (body: Body) => unwrap(api.POST("/keys", { body })),
    ...options,
  });
  const rotate = useMutation({
    mutationFn: ({ prefix, overlap }: { prefix: string; overlap: number }) =>
      unwrap(api.POST("/keys/{prefix}/rotate", { params: { path: { prefix } }, body: { overlap } })),
    ...options,
  });
  const revoke = useMutation({
    mutationFn: (prefix: string) => completed(api.DELETE("/keys/{prefix}", { params: { path: { prefix } } })),
    ...options,
  });
  return { create, rotate, revoke };
}
