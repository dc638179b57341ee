import type { AssistantVersion } from "@langchain/langgraph-sdk";
import { asObject, configurableOf } from "./configuration";

/** Metadata that differs in every version of a synced agent, and says nothing about it. */
const TIMES = ["synced_at"];

/** A version as lines that a reader can compare: the name, the prompt as it is written, and each setting. */
export function textOfVersion(version: AssistantVersion): string {
  const { configurable: _, ...config } = asObject(version.config);
  const metadata = Object.entries(asObject(version.metadata)).filter(([key]) => !TIMES.includes(key));
  return readableText({
    name: version.name,
    description: version.description ?? null,
    graph: version.graph_id,
    ...configurableOf(version),
    ...(Object.keys(config).length ? { config } : {}),
    ...(metadata.length ? { metadata: Object.fromEntries(metadata) } : {}),
  });
}

/** A value in lines, much like YAML: one setting a line, texts of several lines as they are. */
export function readableText(value: unknown, indent = ""): string {
  return linesOf(value, indent).join("\n");
}

function linesOf(value: unknown, indent: string): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => itemLines(item, indent));
  return Object.entries(asObject(value)).flatMap(([key, each]) => entryLines(key, each, indent));
}

function entryLines(key: string, value: unknown, indent: string): string[] {
  if (isScalar(value)) return textLines(`${indent}${key}:`, value, `${indent}  `);
  const lines = linesOf(value, `${indent}  `);
  return lines.length ? [`${indent}${key}:`, ...lines] : [`${indent}${key}: ${JSON.stringify(value)}`];
}

function itemLines(value: unknown, indent: string): string[] {
  if (isScalar(value)) return textLines(`${indent}-`, value, `${indent}  `);
  const [first, ...rest] = linesOf(value, `${indent}  `);
  return first === undefined ? [`${indent}- ${JSON.stringify(value)}`] : [`${indent}- ${first.trimStart()}`, ...rest];
}

const isScalar = (value: unknown) => typeof value !== "object" || value === null;

function textLines(start: string, value: unknown, indent: string): string[] {
  const text = typeof value === "string" ? value : String(JSON.stringify(value) ?? null);
  const lines = text.split("\n");
  return lines.length === 1 ? [`${start} ${text}`] : [start, ...lines.map((line) => `${indent}${line}`)];
}
