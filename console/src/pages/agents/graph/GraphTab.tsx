import type { AssistantGraph } from "@langchain/langgraph-sdk";
import { useQuery } from "@tanstack/react-query";
import { Suspense } from "react";
import { JsonButton } from "../../../components/JsonView";
import { lazyPart } from "../../../components/lazyPart";
import { Panel } from "../../../components/PageHeader";
import { ErrorState, LoadingBlock } from "../../../components/states";
import { graphQuery } from "../agent/queries";

const Drawing = lazyPart(() => import("./Drawing"));
const HEIGHT = 520;

/** The graph of an agent, drawn, with its subgraphs; and as a list, for those who cannot see it. */
export function GraphTab({ assistantId }: { assistantId: string }) {
  const graph = useQuery(graphQuery(assistantId));
  if (graph.isPending) return <LoadingBlock height={HEIGHT} />;
  if (graph.isError) return <ErrorState error={graph.error} onRetry={() => graph.refetch()} />;
  return (
    <div className="grid grid-cols-1 gap-4">
      <Panel
        title={`${graph.data.nodes.length} nodes, ${graph.data.edges.length} edges`}
        actions={<JsonButton value={graph.data} title="Graph, as the API gives it" />}
      >
        <Suspense fallback={<LoadingBlock height={HEIGHT} />}>
          <Drawing graph={graph.data} height={HEIGHT} />
        </Suspense>
      </Panel>
      <EdgeList graph={graph.data} />
    </div>
  );
}

function EdgeList({ graph }: { graph: AssistantGraph }) {
  return (
    <details className="rounded-lg border bg-surface">
      <summary className="px-3 py-2.5 font-medium hover:bg-sunken/60">As a list</summary>
      <ul className="divide-y border-t">
        {graph.nodes.map(({ id }) => (
          <li key={id} className="flex flex-wrap gap-x-2 px-3 py-2 font-mono text-xs">
            <span className="font-medium">{id}</span>
            <span className="text-soft">{leadsTo(graph, `${id}`)}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}

function leadsTo(graph: AssistantGraph, id: string): string {
  const edges = graph.edges.filter((edge) => edge.source === id);
  return edges.map((edge) => `→ ${edge.target}${edge.conditional ? " (if)" : ""}`).join("  ");
}
