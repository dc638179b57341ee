import { describe, expect, it } from "vitest";
import { layOut, NODE } from "./layout";

const link = (text: string) => {
  const [source = "", target = ""] = text.split(">");
  return { source, target };
};
const laidOut = (ids: string, ...edges: string[]) => layOut(ids.split(""), edges.map(link));

describe("layOut", () => {
  it("puts a node below everything that leads to it", () => {
    const { places } = laidOut("abcd", "a>b", "b>c", "a>c", "c>d");
    expect(places.map(({ id, layer }) => `${id}${layer}`)).toEqual(["a0", "b1", "c2", "d3"]);
  });

  it("sets edges of a cycle aside, and those of a node to itself", () => {
    const { forward, back, loops, places } = laidOut("smte", "s>m", "m>t", "t>m", "m>m", "m>e");
    expect(back).toEqual([link("t>m")]);
    expect(loops).toEqual([link("m>m")]);
    expect(forward).toHaveLength(3);
    expect(places.find(({ id }) => id === "t")?.layer).toBe(2);
  });

  it("puts the end below everything, and edges that pass over a layer aside", () => {
    const edges = ["s>m", "m>t", "t>m"].map(link).concat({ source: "m", target: "__end__" });
    const { places, forward, skipping } = layOut(["s", "m", "t", "__end__"], edges);
    expect(places.map(({ id, layer }) => `${id}${layer}`)).toEqual(["s0", "m1", "t2", "__end__3"]);
    expect(skipping).toEqual([{ source: "m", target: "__end__" }]);
    expect(forward).toEqual([link("s>m"), link("m>t")]);
  });

  it("lays out a graph that has no beginning", () => {
    const { places, back } = laidOut("ab", "a>b", "b>a");
    expect(places.map(({ id }) => id)).toEqual(["a", "b"]);
    expect(back).toEqual([link("b>a")]);
  });

  it("leaves room between the nodes of a layer, around the middle", () => {
    const xs = laidOut("abc", "a>b", "a>c")
      .places.filter(({ layer }) => layer === 1)
      .map(({ x }) => x);
    expect(Math.abs((xs[1] ?? 0) - (xs[0] ?? 0))).toBeGreaterThan(NODE.width);
    expect(xs.reduce((sum, x) => sum + x, 0)).toBe(0);
  });

  it("does not cross edges that need not cross", () => {
    const { places } = laidOut("rabdc", "r>a", "r>b", "a>c", "b>d");
    const x = (id: string) => places.find((place) => place.id === id)?.x ?? 0;
    expect(x("a") < x("b")).toBe(x("c") < x("d"));
  });

  it("passes over edges to nodes that are not there", () => {
    expect(laidOut("a", "a>z").forward).toEqual([]);
    expect(layOut([], []).places).toEqual([]);
  });

  it("lays out a hundred nodes in a row", () => {
    const ids = Array.from({ length: 100 }, (_, index) => `n${index}`);
    const edges = ids.slice(1).map((target, index) => ({ source: ids[index] ?? "", target }));
    expect(layOut(ids, edges).places.at(-1)?.layer).toBe(99);
  });
});
