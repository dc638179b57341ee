import { describe, expect, it } from "vitest";
import { queryOf, readAuditFilters } from "./filters";

describe("readAuditFilters", () => {
  it("keeps what it knows, and numbers as text", () => {
    expect(readAuditFilters({ actor: "alice", id: 42, other: "x", action: "" })).toEqual({ actor: "alice", id: "42" });
  });

  it("drops resource types and times that there are not", () => {
    expect(readAuditFilters({ type: "moon", since: "yesterday", until: "2026-01-31T12:00" })).toEqual({
      until: "2026-01-31T12:00",
    });
    expect(readAuditFilters({ type: "api_key" })).toEqual({ type: "api_key" });
  });
});

describe("queryOf", () => {
  it("gives times with a zone", () => {
    expect(queryOf({ since: "2026-01-31T12:00" }).since).toBe(new Date("2026-01-31T12:00").toISOString());
  });

  it("names the parameters as the API does", () => {
    expect(
      JSON.parse(JSON.stringify(queryOf({ type: "thread", id: "7", actor: "a", action: "thread.create" }))),
    ).toEqual({
      resource_type: "thread",
      resource_id: "7",
      actor: "a",
      action: "thread.create",
    });
  });
});
