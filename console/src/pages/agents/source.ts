import type { Assistant } from "@langchain/langgraph-sdk";
import type { Tone } from "../../components/Badge";

export type Source = "catalogue" | "template" | "configuration" | "instances" | "graph" | "client";

/** Where an assistant comes from, with the words for it. */
export const SOURCES: { id: Source; title: string; about: string; tone: Tone }[] = [
  { id: "catalogue", title: "Catalogue", about: "A row of the agent catalogue", tone: "accent" },
  { id: "template", title: "Template", about: "A user's copy of an agent of the catalogue", tone: "accent" },
  {
    id: "configuration",
    title: "Configuration",
    about: "A configuration of the registry, run by this server",
    tone: "good",
  },
  {
    id: "instances",
    title: "Elsewhere",
    about: "An agent of the registry that runs in instances elsewhere",
    tone: "warn",
  },
  { id: "graph", title: "Graph", about: "The default assistant of a graph", tone: "neutral" },
  { id: "client", title: "API", about: "Created by a client of the API", tone: "neutral" },
];

type Sourced = Pick<Assistant, "assistant_id" | "graph_id" | "metadata">;

/** The metadata that the server itself sets says it; clients cannot edit these keys of a synced assistant. */
export function sourceOf({ assistant_id, graph_id, metadata }: Sourced): Source {
  const { created_by, agent_source, supabase_agent_id } = (metadata ?? {}) as Record<string, unknown>;
  if (agent_source === "configuration") return graph_id === "instances" ? "instances" : "configuration";
  if (typeof supabase_agent_id === "string") return supabase_agent_id === assistant_id ? "catalogue" : "template";
  return created_by === "system" ? "graph" : "client";
}

/** Whether agent sync writes the assistant. */
export const isSynced = (agent: Sourced) => sourceOf(agent) === "catalogue" || sourceOf(agent) === "template";
