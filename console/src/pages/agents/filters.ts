import { SOURCES, type Source } from "./source";

/** The filters of the list. They stand in the address, so that it can be shared and the way back keeps them. */
export interface Filters {
  q?: string;
  source?: Source;
  graph?: string;
}

export function readFilters(raw: Record<string, unknown>): Record<string, unknown> & Filters {
  const { q, source, graph } = raw;
  return {
    ...(typeof q === "string" && q ? { q } : {}),
    ...(SOURCES.some((each) => each.id === source) ? { source: source as Source } : {}),
    ...(typeof graph === "string" && graph ? { graph } : {}),
  };
}
