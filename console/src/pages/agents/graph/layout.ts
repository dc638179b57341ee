/**
 * Place the nodes of a graph in layers, from top to bottom.
 *
 * 1. Edges that lead back to a node on the way are set aside, so that no cycle is left.
 * 2. The layer of a node is the longest way to it.
 * 3. The end of the graph stands below everything else.
 * 4. Within a layer nodes stand near the middle of what leads to them.
 */
export interface Link {
  source: string;
  target: string;
}

export interface Place {
  id: string;
  layer: number;
  /** The centre, in pixels. */
  x: number;
  y: number;
}

export interface Layout<E extends Link> {
  places: Place[];
  /** Edges to the next layer. */
  forward: E[];
  /** Edges that pass over a layer, which are drawn at the left side. */
  skipping: E[];
  /** Edges against the direction of the layers, which are drawn at the right side. */
  back: E[];
  /** Edges from a node to itself. */
  loops: E[];
}

export const NODE = { width: 168, height: 44 };
const END = "__end__";
const GAP = { x: 40, y: 56 };
const SWEEPS = 4;

export function layOut<E extends Link>(ids: string[], edges: E[]): Layout<E> {
  const known = edges.filter(({ source, target }) => ids.includes(source) && ids.includes(target));
  const loops = known.filter(({ source, target }) => source === target);
  const { forward, back } = withoutCycles(
    ids,
    known.filter(({ source, target }) => source !== target),
  );
  const layers = ordered(layersOf(ids, forward), forward);
  const layerOf = new Map(layers.flatMap((layer, index) => layer.map((id) => [id, index] as const)));
  const isSkipping = ({ source, target }: E) => (layerOf.get(target) ?? 0) - (layerOf.get(source) ?? 0) > 1;
  return {
    places: layers.flatMap(placed),
    forward: forward.filter((edge) => !isSkipping(edge)),
    skipping: forward.filter(isSkipping),
    back,
    loops,
  };
}

/** Divide the edges by a walk in depth: an edge to a node on the present way leads back. */
function withoutCycles<E extends Link>(ids: string[], edges: E[]): { forward: E[]; back: E[] } {
  const onWay = new Set<string>();
  const done = new Set<string>();
  const back = new Set<E>();
  const visit = (id: string) => {
    onWay.add(id);
    for (const edge of edges) {
      if (edge.source !== id) continue;
      if (onWay.has(edge.target)) back.add(edge);
      else if (!done.has(edge.target)) visit(edge.target);
    }
    onWay.delete(id);
    done.add(id);
  };
  for (const id of rootsFirst(ids, edges)) if (!done.has(id)) visit(id);
  return { forward: edges.filter((edge) => !back.has(edge)), back: [...back] };
}

function rootsFirst(ids: string[], edges: Link[]): string[] {
  const targets = new Set(edges.map((edge) => edge.target));
  return [...ids.filter((id) => !targets.has(id)), ...ids.filter((id) => targets.has(id))];
}

function layersOf(ids: string[], forward: Link[]): string[][] {
  const depth = new Map<string, number>();
  const depthOf = (id: string): number => {
    const found = depth.get(id);
    if (found !== undefined) return found;
    const sources = forward.filter((edge) => edge.target === id).map((edge) => edge.source);
    const own = Math.max(-1, ...sources.map(depthOf)) + 1;
    depth.set(id, own);
    return own;
  };
  const layers: string[][] = [];
  const deepest = Math.max(0, ...ids.filter((id) => id !== END).map(depthOf));
  for (const id of ids) {
    const layer = id === END ? Math.max(depthOf(id), deepest + 1) : depthOf(id);
    layers[layer] = [...(layers[layer] ?? []), id];
  }
  return layers;
}

/** Sort each layer by the mean position of the neighbours, downwards and upwards in turn. */
function ordered(layers: string[][], forward: Link[]): string[][] {
  let result = layers;
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const isDown = sweep % 2 === 0;
    const position = new Map(
      result.flatMap((layer) => layer.map((id, index) => [id, index - layer.length / 2] as const)),
    );
    const mean = (id: string) => {
      const near = forward.flatMap((edge) => {
        if (isDown) return edge.target === id ? [edge.source] : [];
        return edge.source === id ? [edge.target] : [];
      });
      if (!near.length) return position.get(id) ?? 0;
      return near.reduce((sum, each) => sum + (position.get(each) ?? 0), 0) / near.length;
    };
    result = result.map((layer) => [...layer].sort((a, b) => mean(a) - mean(b)));
  }
  return result;
}

function placed(layer: string[], index: number): Place[] {
  const step = NODE.width + GAP.x;
  return layer.map((id, column) => ({
    id,
    layer: index,
    x: (column - (layer.length - 1) / 2) * step,
    y: index * (NODE.height + GAP.y),
  }));
}
