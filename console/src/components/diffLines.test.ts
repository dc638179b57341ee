import { describe, expect, it } from "vitest";
import { diffLines } from "./diffLines";

const changes = (before: string, after: string) => diffLines(before, after).map(({ change, text }) => [change, text]);

describe("diffLines", () => {
  it("has no lines for two empty texts", () => {
    expect(diffLines("", "")).toEqual([]);
  });

  it("keeps the longest common subsequence", () => {
    expect(changes("a\nb\nc\nd", "a\nc\nx\nd")).toEqual([
      ["same", "a"],
      ["removed", "b"],
      ["same", "c"],
      ["added", "x"],
      ["same", "d"],
    ]);
  });

  it("numbers the lines of each side", () => {
    expect(diffLines("a\nb", "b\nc").map(({ before, after }) => [before, after])).toEqual([
      [1, null],
      [2, 1],
      [null, 2],
    ]);
  });

  it("gives back both texts", () => {
    const [before, after] = ["x\ny\nz\nx\ny", "y\nz\nw\nx"];
    const lines = diffLines(before, after);
    const side = (left: "added" | "removed") =>
      lines.flatMap(({ change, text }) => (change === left ? [] : [text])).join("\n");
    expect([side("added"), side("removed")]).toEqual([before, after]);
  });

  it("replaces huge texts as a whole instead of comparing for minutes", () => {
    const huge = (word: string) => Array.from({ length: 3_000 }, (_, index) => `${word} ${index}`).join("\n");
    const lines = diffLines(huge("a"), huge("b"));
    expect(lines.filter(({ change }) => change === "removed").length).toBe(3_000);
    expect(lines.filter(({ change }) => change === "added").length).toBe(3_000);
  });
});
