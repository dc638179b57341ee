import { describe, expect, it } from "vitest";
import { fromLocal, queryOf, readFilters, toLocal } from "./filters";

const ID = "1a000000-0000-4000-8000-000000000001";

describe("readFilters", () => {
  it("keeps what it knows and drops the rest", () => {
    expect(readFilters({ status: "error", agent: ID, thread: "x", since: "1h", more: 1 })).toEqual({
      status: "error",
      agent: ID,
      since: "1h",
    });
    expect(readFilters({ status: "lost", since: "toString" })).toEqual({});
  });

  it("reads bounds for a period of one's own alone", () => {
    const from = "2026-01-01T10:00:00.000Z";
    expect(readFilters({ since: "custom", from, until: "then" })).toEqual({ since: "custom", from });
    expect(readFilters({ since: "1h", from })).toEqual({ since: "1h" });
  });
});

describe("queryOf", () => {
  it("counts a period back from now", () => {
    const now = new Date("2026-01-01T10:00:00Z");
    expect(queryOf({ since: "1h", status: "error" }, now)).toMatchObject({
      status: "error",
      created_after: "2026-01-01T09:00:00.000Z",
    });
  });
});

it("a time of an input is the time that was read", () => {
  const iso = "2026-03-04T05:06:00.000Z";
  expect(fromLocal(toLocal(iso))).toBe(iso);
  expect(toLocal(undefined)).toBe("");
});
