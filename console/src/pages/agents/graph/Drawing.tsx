import "@xyflow/react/dist/style.css";
import "./drawing.css";
import type { AssistantGraph } from "@langchain/langgraph-sdk";
import { Background, Controls, type Edge, Handle, MarkerType, type Node, Position, ReactFlow } from "@xyflow/react";
import { useMemo } from "react";
import { useTheme } from "../../../app/theme";
import { classes } from "../../../components/classes";
import { type Layout, layOut, NODE } from "./layout";

type GraphEdge = AssistantGraph["edges"][number] & { source: string; target: string };
type Drawn = Node<{ id: string; hasLoop: boolean }, "graph">;

/**
 * The nodes in layers. A dashed line is an edge that is taken on a condition. Edges back run at the right, edges that
 * pass over a layer at the left.
 */
export default function Drawing({ graph, height }: { graph: AssistantGraph; height: number }) {
  const theme = useTheme();
  const { nodes, edges } = useMemo(() => drawn(graph), [graph]);
  return (
    <section style={{ height }} aria-label="Drawing of the graph">
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={NODE_TYPES}
        colorMode={theme}
        fitView
        fitViewOptions={{ padding: 0.15, maxZoom: 1.1 }}
        minZoom={0.1}
        nodesDraggable={false}
        nodesConnectable={false}
        nodesFocusable={false}
        edgesFocusable={false}
        elementsSelectable={false}
        zoomOnScroll={false}
        preventScrolling={false}
      >
        <Background gap={20} />
        <Controls showInteractive={false} />
      </ReactFlow>
    </section>
  );
}

function drawn(graph: AssistantGraph): { nodes: Drawn[]; edges: Edge[] } {
  const ids = graph.nodes.map((node) => `${node.id}`);
  const all = graph.edges.map((edge): GraphEdge => ({ ...edge, source: `${edge.source}`, target: `${edge.target}` }));
  const layout = layOut(ids, all);
  return { nodes: nodesOf(layout), edges: edgesOf(layout) };
}

function nodesOf({ places, loops }: Layout<GraphEdge>): Drawn[] {
  return places.map(({ id, x, y }) => ({
    id,
    type: "graph",
    position: { x: x - NODE.width / 2, y },
    width: NODE.width,
    height: NODE.height,
    data: { id, hasLoop: loops.some((edge) => edge.source === id) },
  }));
}

function edgesOf({ forward, skipping, back }: Layout<GraphEdge>): Edge[] {
  const edge = ({ source, target, conditional }: GraphEdge, index: number, side: string): Edge => ({
    id: `${side}-${index}`,
    source,
    target,
    sourceHandle: side,
    targetHandle: side,
    type: side === "forward" ? "default" : "smoothstep",
    markerEnd: { type: MarkerType.ArrowClosed, width: 16, height: 16, color: "var(--faint)" },
    className: conditional ? "[&_path]:[stroke-dasharray:5_4]" : undefined,
  });
  return [
    ...forward.map((each, index) => edge(each, index, "forward")),
    ...skipping.map((each, index) => edge(each, index, "skip")),
    ...back.map((each, index) => edge(each, index, "back")),
  ];
}

const ENDS = ["__start__", "__end__"];
const HIDDEN = "!size-1 !min-h-0 !min-w-0 !border-0 !bg-transparent";

function GraphNode({ data: { id, hasLoop } }: { data: Drawn["data"] }) {
  const parts = id.split(":");
  const name = parts.at(-1) ?? id;
  const isEnd = ENDS.includes(name);
  return (
    <div
      title={id}
      className={classes(
        "flex h-full w-full flex-col items-center justify-center border px-3 text-ink",
        isEnd ? "rounded-full bg-sunken text-soft" : "rounded-lg border-edge bg-surface",
      )}
    >
      <Handle id="forward" type="target" position={Position.Top} className={HIDDEN} />
      <Handle id="skip" type="target" position={Position.Left} className={HIDDEN} />
      <Handle id="back" type="target" position={Position.Right} className={HIDDEN} />
      {parts.length > 1 && (
        <span className="max-w-full truncate text-[10px] leading-3 text-faint">{parts.slice(0, -1).join(" / ")}</span>
      )}
      <span className="max-w-full truncate font-mono text-xs font-medium">
        {isEnd ? name.replaceAll("_", "") : name}
        {hasLoop && <span title="It may follow itself"> ↻</span>}
      </span>
      <Handle id="forward" type="source" position={Position.Bottom} className={HIDDEN} />
      <Handle id="skip" type="source" position={Position.Left} className={HIDDEN} />
      <Handle id="back" type="source" position={Position.Right} className={HIDDEN} />
    </div>
  );
}

const NODE_TYPES = { graph: GraphNode };
