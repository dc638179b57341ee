import { beforeEach, describe, expect, it, vi } from "vitest";
import { chooseOrganization, credentials, getSession, refuse, signIn, signOut } from "./session";

beforeEach(signOut);

describe("session", () => {
  it("sends nothing before anybody has signed in", () => {
    expect(credentials()).toEqual({});
  });

  it("sends a key and a token in their own headers, and the organization", () => {
    signIn("key", "secret");
    expect(credentials()).toEqual({ "X-API-Key": "secret" });
    signIn("token", "jwt");
    chooseOrganization("tenant");
    expect(credentials()).toEqual({ Authorization: "Bearer jwt", "X-Organization-Id": "tenant" });
  });

  it("forgets the organization with the sign-in of somebody else", () => {
    signIn("key", "one");
    chooseOrganization("tenant");
    signIn("key", "two");
    expect(credentials()).toEqual({ "X-API-Key": "two" });
  });

  it("survives a reload of the tab, but not its refusal", async () => {
    signIn("key", "secret");
    refuse(getSession());
    expect(getSession().refused).toBe(true);
    vi.resetModules();
    const reloaded = await import("./session");
    expect(reloaded.getSession()).toEqual({ kind: "key", secret: "secret", organization: null, refused: false });
  });

  it("ignores the late refusal of an earlier session", () => {
    signIn("key", "old");
    const old = getSession();
    signIn("key", "new");
    refuse(old);
    expect(getSession().refused).toBe(false);
  });

  it("leaves nothing behind", () => {
    signIn("key", "agh_1234");
    signOut();
    expect(JSON.stringify({ ...sessionStorage, ...localStorage })).not.toContain("agh_1234");
  });

  it("starts empty when what is stored is no JSON", async () => {
    sessionStorage.setItem("agenthall.session", "{");
    vi.resetModules();
    const reloaded = await import("./session");
    expect(reloaded.getSession().kind).toBeNull();
  });
});
