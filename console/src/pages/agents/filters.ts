import { SOURCES, type Source } from "./source";

/** The filters of the list. They stand in the address, so that it can be shared and the way back keeps them. */
export interface Filters {
  /** "sync": the state of agent sync in the place of the list. */
  view?: "sync";
  q?: string;
  source?: Source;
  graph?: string;
}

export function readFilters(raw: Record<string, unknown>): Record<string, unknown> & Filters {
  const { view, q, source, graph } = raw;
  return {
    ...(view === "sync" ? { view } : {}),
    ...(typeof q === "string" && q ? { q } : {}),
    ...(SOURCES.some((each) => each.id === source) ? { source: source as Source } : {}),
    ...(typeof graph === "string" && graph ? { graph } : {}),
  };
}

export const TABS = ["tools", "versions", "schemas", "graph", "sync"] as const;
export type TabName = (typeof TABS)[number];

/** The tab of an agent's page, and the two versions that are compared. Without a tab the page shows the prompt. */
export interface AgentSearch {
  tab?: TabName;
  version?: number;
  before?: number;
}

export function readTab(raw: Record<string, unknown>): Record<string, unknown> & AgentSearch {
  const { tab, version, before } = raw;
  return {
    ...(TABS.some((each) => each === tab) ? { tab: tab as TabName } : {}),
    ...(isVersion(version) ? { version } : {}),
    ...(isVersion(before) ? { before } : {}),
  };
}

const isVersion = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) > 0;
