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

it("asks for nothing while the text is neither an id nor a pair", () => {
  expect(queryOf({ q: "rent" })).toBeNull();
  expect(queryOf({ q: "team=" })).toBeNull();
});
