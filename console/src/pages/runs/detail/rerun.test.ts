import { expect, it } from "vitest";
import { rerunOf } from "./rerun";

it("takes the input over, and leaves out what was not given", () => {
  const kwargs = { input: { text: 1 }, command: null, interrupt_before: null, config: { configurable: { a: 1 } } };
  expect(rerunOf({ assistant_id: "a", kwargs })).toEqual({
    assistant_id: "a",
    payload: { input: { text: 1 }, multitaskStrategy: "enqueue" },
  });
});

it("takes a command over, and where the run stops", () => {
  const kwargs = { input: null, command: { resume: true }, interrupt_before: ["b"], interrupt_after: "*" };
  expect(rerunOf({ assistant_id: "a", kwargs }).payload).toEqual({
    command: { resume: true },
    interruptBefore: ["b"],
    interruptAfter: "*",
    multitaskStrategy: "enqueue",
  });
});
