import { describe, expect, it } from "vitest";
import { childrenOf, hasText, labelsOf, parseObject, readPlace } from "./place";

describe("readPlace", () => {
  it("keeps numbers and objects of the address as text", () => {
    expect(readPlace({ ns: 42, filter: { a: 1 }, q: "", by: "magic", other: 1 })).toEqual({
      ns: "42",
      filter: '{"a":1}',
    });
    expect(readPlace({ by: "meaning", q: "cats" })).toEqual({ by: "meaning", q: "cats" });
  });
});

describe("labelsOf", () => {
  it("splits at periods, and has no label at the root", () => {
    expect([labelsOf(undefined), labelsOf("a.b")]).toEqual([[], ["a", "b"]]);
  });
});

describe("childrenOf", () => {
  it("names each label of the next level once, in order", () => {
    expect(childrenOf([["a", "z"], ["a", "b"], ["a"], ["a", "b"]], ["a"])).toEqual(["b", "z"]);
  });
});

describe("parseObject", () => {
  it("takes objects alone", () => {
    expect(parseObject('{"a": 1}')).toEqual({ a: 1 });
    expect(["[1]", "null", "1", "{", ""].map(parseObject)).toEqual([null, null, null, null, null]);
  });
});

describe("hasText", () => {
  it("looks at the name and the value, whatever the case", () => {
    const item = { namespace: ["users", "Ann"], key: "pet", value: { kind: "Cat" } };
    expect(["ANN", "pet", "cat", "dog"].map((text) => hasText(item, text))).toEqual([true, true, true, false]);
  });
});
