import { expect, it } from "vitest";
import { stepsOf, updateOf } from "./steps";

const state = (id: string, parent: string | null, source: string, next: string[]) =>
  ({
    checkpoint: { checkpoint_id: id },
    parent_checkpoint: parent ? { checkpoint_id: parent } : null,
    metadata: { source, step: 0 },
    next,
    tasks: [],
    values: {},
    created_at: null,
  }) as never;

it("names a step for what ran in it, and finds branches", () => {
  const steps = stepsOf([
    state("4", "2", "loop", []),
    state("3", "2", "loop", []),
    state("2", "1", "loop", ["model"]),
    state("1", null, "input", ["__start__"]),
  ]);
  expect(steps.map((step) => step.title)).toEqual(["model", "model", "start", "Input"]);
  expect(steps.map((step) => step.isBranch)).toEqual([true, true, false, false]);
});

it("updates only the members that changed", () => {
  expect(updateOf({ count: 1, note: "a" }, { count: 2, note: "a" })).toEqual({ count: 2 });
});

it("removes messages by name", () => {
  const [one, two] = [
    { id: "1", type: "human", content: "a" },
    { id: "2", type: "ai", content: "b" },
  ];
  expect(updateOf({ messages: [one, two] }, { messages: [{ ...one, content: "c" }] })).toEqual({
    messages: [
      { type: "remove", id: "2", content: "" },
      { ...one, content: "c" },
    ],
  });
});
