import { expect, it } from "vitest";
import { queryOf, readFilters } from "./filters";

const ID = "01a22c90-2935-7605-b662-55d8727574c6";

it("keeps only filters that exist", () => {
  expect(readFilters({ q: "", status: "asleep", agent: 7, page: 3 })).toEqual({});
  expect(readFilters({ q: "a=b", status: "busy", agent: "x" })).toEqual({ q: "a=b", status: "busy", agent: "x" });
});

it("takes an id, or pairs of metadata whose values are JSON or text", () => {
  expect(queryOf({ q: ID })).toEqual({ ids: [ID] });
  expect(queryOf({ q: 'team=blue tries=3 done=true id="7"' })).toEqual({
    metadata: { team: "blue", tries: 3, done: true, id: "7" },
  });
});

it("asks for the agent by the metadata that the server sets", () => {
  expect(queryOf({ agent: "a1", status: "idle" })).toEqual({ metadata: { assistant_id: "a1" }, status: "idle" });
});

it("takes all other words as those of messages", () => {
  expect(queryOf({ q: " the  rent team=blue of 2026" })).toEqual({
    metadata: { team: "blue" },
    text: "the rent of 2026",
  });
  expect(queryOf({ q: "team=" })).toEqual({ text: "team=" });
  expect(queryOf({ q: "家賃" })).toEqual({ text: "家賃" });
});

it("asks for nothing while there is no word", () => {
  expect(queryOf({ q: "?" })).toBeNull();
  expect(queryOf({ q: "= a=b" })).toBeNull();
});
