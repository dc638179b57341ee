import type { Item } from "@langchain/langgraph-sdk";
import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { langgraph } from "../../api/langgraph";
import { useSettled } from "../../api/useSettled";
import { childrenOf, labelsOf, type Place, parseObject } from "./place";

export type { Item };

const PAGE_SIZE = 100;
const NAMESPACES = 1_000;

/** The labels below a namespace. */
export function useChildren(ns: string | undefined) {
  const prefix = labelsOf(ns);
  return useQuery({
    queryKey: ["store", "namespaces", prefix],
    queryFn: async ({ signal }) => {
      const options = { prefix, maxDepth: prefix.length + 1, limit: NAMESPACES, signal };
      return childrenOf((await langgraph.store.listNamespaces(options)).namespaces, prefix);
    },
    placeholderData: keepPreviousData,
  });
}

/** Items of a namespace and of those below it, page by page. A filter that is no JSON object is left out. */
export function useItems({ ns, q, by, filter }: Place) {
  const prefix = labelsOf(ns);
  const [text, object] = [useSettled(q), useSettled(filter)];
  const wanted = { filter: parseObject(object ?? "") ?? undefined, query: by === "meaning" ? text : undefined };
  return useInfiniteQuery({
    queryKey: ["store", "items", prefix, wanted],
    queryFn: async ({ pageParam, signal }) => {
      const options = { ...wanted, limit: PAGE_SIZE, offset: pageParam, signal };
      return (await langgraph.store.searchItems(prefix, options)).items;
    },
    initialPageParam: 0,
    getNextPageParam: (last, all) => (last.length < PAGE_SIZE ? undefined : all.length * PAGE_SIZE),
    placeholderData: keepPreviousData,
  });
}

export function useStoreChanges() {
  const queries = useQueryClient();
  const onSettled = () => queries.invalidateQueries({ queryKey: ["store"] });
  const put = useMutation({
    mutationFn: ({ namespace, key, value }: Pick<Item, "namespace" | "key" | "value">) =>
      langgraph.store.putItem(namespace, key, value),
    onSettled,
  });
  const remove = useMutation({
    mutationFn: ({ namespace, key }: Item) => langgraph.store.deleteItem(namespace, key),
    onSettled,
  });
  return { put, remove };
}
