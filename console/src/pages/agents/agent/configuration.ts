import type { AssistantBase } from "@langchain/langgraph-sdk";

/** A server of tools, as the configuration names it. */
export interface ConfiguredServer {
  name: string;
  url: string;
  tools: string[] | null;
}

type Values = Record<string, unknown>;

const PROMPTS = ["system_prompt", "prompt", "instructions"];

/** The configurable part of an assistant. Some clients write the same values to `context` alone. */
export function configurableOf(agent: Pick<AssistantBase, "config" | "context">): Values {
  const configurable = asObject(agent.config?.configurable);
  return Object.keys(configurable).length ? configurable : asObject(agent.context);
}

/** The prompt, with the key that it stands under. */
export function promptOf(values: Values): { key: string; text: string } | null {
  const key = PROMPTS.find((name) => typeof values[name] === "string" && values[name] !== "");
  return key ? { key, text: values[key] as string } : null;
}

/** Everything but the prompt: the model first, then by name. */
export function settingsOf(values: Values): [string, unknown][] {
  const prompt = promptOf(values)?.key;
  return Object.entries(values)
    .filter(([key]) => key !== prompt)
    .sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
}

const rank = (key: string) => (key.includes("model") ? 0 : 1);

export function serversOf(values: Values): ConfiguredServer[] {
  const { servers } = asObject(values.mcp_config);
  return (Array.isArray(servers) ? servers : []).map(asObject).map((server, index) => ({
    name: typeof server.name === "string" ? server.name : `server-${index + 1}`,
    url: typeof server.url === "string" ? server.url : "",
    tools: Array.isArray(server.tools) ? server.tools.filter((tool) => typeof tool === "string") : null,
  }));
}

export function asObject(value: unknown): Values {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Values) : {};
}
