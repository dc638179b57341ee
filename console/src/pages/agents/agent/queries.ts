import { queryOptions } from "@tanstack/react-query";
import { getJson } from "../../../api/client";
import { langgraph } from "../../../api/langgraph";

const MAX_VERSIONS = 100;

/** A tool as its MCP server describes it. */
export interface ServerTool {
  name: string;
  description: string;
  input_schema: unknown;
}

export interface ToolServer {
  name: string;
  url: string;
  status: "reachable" | "unreachable" | "auth_required" | "refused";
  error: string | null;
  seconds: number;
  tools: ServerTool[];
}

/** An agent that this one may call. Without a name: one that the caller may not see. */
export interface AgentTool {
  kind: string;
  assistant_id: string;
  name: string | null;
  description: string | null;
}

/** The answer of GET /assistants/{assistant_id}/tools. */
export interface AssistantTools {
  servers: ToolServer[];
  tools: AgentTool[];
}

export const agentQuery = (assistantId: string) =>
  queryOptions({
    queryKey: ["assistants", "get", assistantId],
    queryFn: ({ signal }) => langgraph.assistants.get(assistantId, { signal }),
  });

export const toolsQuery = (assistantId: string) =>
  queryOptions({
    queryKey: ["assistants", "tools", assistantId],
    queryFn: () => getJson<AssistantTools>(`/assistants/${encodeURIComponent(assistantId)}/tools`),
    staleTime: 10_000,
  });

/** The newest versions first. */
export const versionsQuery = (assistantId: string) =>
  queryOptions({
    queryKey: ["assistants", "versions", assistantId],
    queryFn: async ({ signal }) => {
      const found = await langgraph.assistants.getVersions(assistantId, { limit: MAX_VERSIONS, signal });
      return found.sort((a, b) => b.version - a.version);
    },
  });

export const schemasQuery = (assistantId: string) =>
  queryOptions({
    queryKey: ["assistants", "schemas", assistantId],
    queryFn: ({ signal }) => langgraph.assistants.getSchemas(assistantId, { signal }),
    staleTime: 60_000,
  });

export const graphQuery = (assistantId: string) =>
  queryOptions({
    queryKey: ["assistants", "graph", assistantId],
    queryFn: ({ signal }) => langgraph.assistants.getGraph(assistantId, { xray: true, signal }),
    staleTime: 60_000,
  });
