import type { Assistant } from "@langchain/langgraph-sdk";
import { Badge } from "../../components/Badge";
import { SOURCES, sourceOf } from "./source";

/** Where an agent comes from. */
export function SourceBadge(agent: Assistant) {
  const source = SOURCES.find((each) => each.id === sourceOf(agent));
  if (!source) return null;
  return (
    <span title={source.about}>
      <Badge tone={source.tone}>{source.title}</Badge>
    </span>
  );
}
