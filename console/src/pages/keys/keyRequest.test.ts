import { describe, expect, it } from "vitest";
import { EMPTY_FORM, keyRequest } from "./keyRequest";

describe("keyRequest", () => {
  it("makes a key without limits of an empty form, except its lifetime", () => {
    expect(keyRequest(EMPTY_FORM)).toEqual({
      name: "",
      kind: "service",
      organizations: [],
      scopes: null,
      agents: null,
      assistants: null,
      expires_in: 7_776_000,
      identity: null,
    });
  });

  it("reads lists that are separated by commas, spaces or lines", () => {
    const made = keyRequest({ ...EMPTY_FORM, organizations: " a, b\nc ", agents: "bot", scopes: ["runs"] });
    expect([made.organizations, made.agents, made.scopes]).toEqual([["a", "b", "c"], ["bot"], ["runs"]]);
  });

  it("has no end where that is chosen", () => {
    expect(keyRequest({ ...EMPTY_FORM, expiresIn: "" }).expires_in).toBeNull();
  });
});
