import { useQuery } from "@tanstack/react-query";
import { langgraph } from "../../api/langgraph";

const AGENTS = 500;

export interface AgentName {
  assistant_id: string;
  name: string;
  graph_id: string;
  description?: string | null;
}

/** The agents to choose from, by name. A server with more of them than this offers the first ones. */
export function useAgentNames() {
  return useQuery({
    queryKey: ["assistants", "names"],
    queryFn: async ({ signal }) =>
      (await langgraph.assistants.search({
        select: ["assistant_id", "name", "graph_id", "description"],
        sortBy: "name",
        sortOrder: "asc",
        limit: AGENTS,
        signal,
      })) as AgentName[],
    staleTime: 60_000,
  });
}

/** One agent, with its config. Undefined while it is asked for; null: it does not exist any more. */
export function useAgent(assistantId: string | undefined) {
  return useQuery({
    queryKey: ["assistants", "get", assistantId],
    queryFn: ({ signal }) => langgraph.assistants.get(assistantId ?? "", { signal }),
    enabled: assistantId !== undefined,
    staleTime: 60_000,
  });
}
