import type { Metadata, ThreadStatus } from "@langchain/langgraph-sdk";

export const STATUSES: ThreadStatus[] = ["idle", "busy", "interrupted", "error"];

/** The filters of the list, as they stand in the address. */
export interface Filters {
  /** Words of messages, ids of threads, and `key=value` of their metadata. */
  q?: string;
  status?: ThreadStatus;
  agent?: string;
}

export interface ThreadQuery {
  ids?: string[];
  metadata?: Metadata;
  status?: ThreadStatus;
  text?: string;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function readFilters(raw: Record<string, unknown>): Record<string, unknown> & Filters {
  const { q, status, agent } = raw;
  return {
    ...(typeof q === "string" && q ? { q } : {}),
    ...(STATUSES.some((each) => each === status) ? { status: status as ThreadStatus } : {}),
    ...(typeof agent === "string" && agent ? { agent } : {}),
  };
}

/** The query for the API. Null: `q` has nothing but punctuation, so there is nothing to ask yet. */
export function queryOf({ q = "", status, agent }: Filters): ThreadQuery | null {
  const words = q.trim().split(/\s+/).filter(Boolean);
  const ids = words.filter((word) => UUID.test(word));
  const others = words.filter((word) => !UUID.test(word));
  const pairs = others.map(pairOf);
  const text = others.filter((_, place) => pairs[place] === null).join(" ");
  if (text && !/[\p{L}\p{N}]/u.test(text)) return null;
  const metadata = Object.fromEntries([
    ...pairs.filter((pair) => pair !== null),
    ...(agent ? [["assistant_id", agent]] : []),
  ]);
  return {
    ...(ids.length ? { ids } : {}),
    ...(Object.keys(metadata).length ? { metadata } : {}),
    ...(status ? { status } : {}),
    ...(text ? { text } : {}),
  };
}

function pairOf(word: string): [string, unknown] | null {
  const [, key, value] = /^([^=]+)=(.+)$/.exec(word) ?? [];
  return key && value ? [key, readValue(value)] : null;
}

/** Numbers, booleans and quoted texts are JSON, everything else is a text. */
function readValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
