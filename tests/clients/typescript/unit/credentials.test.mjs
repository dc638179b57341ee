import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { AgentInstance, Client } from "../../../../clients/typescript/dist/index.js";
import { Credentials } from "../../../../clients/typescript/dist/connection/credentials.js";

const nothing = () => undefined;

test("a key and a token together are rejected", () => {
  assert.throws(() => new AgentInstance("x", { apiKey: "a", token: "b" }), /apiKey and token/);
});

test("inspecting a client hides its key", () => {
  assert.ok(!inspect(new Client({ apiKey: "secret" }), { depth: 9, showHidden: true }).includes("secret"));
  assert.ok(!inspect(new AgentInstance("x", { apiKey: "secret" }), { depth: 9, showHidden: true }).includes("secret"));
});

test("the environment has the defaults", async () => {
  const environment = { AGENTHALL_API_KEY: "k", AGENTHALL_TENANT: "t" };
  const credentials = new Credentials({}, (name) => environment[name]);
  assert.deepEqual(await credentials.headers(), { "X-Organization-Id": "t", "X-API-Key": "k" });
  assert.deepEqual(await credentials.authParams(), { api_key: "k", tenant_id: "t" });
});

test("a token takes the place of the key of the environment", async () => {
  const credentials = new Credentials({ token: async () => "j" }, () => "k");
  assert.equal((await credentials.headers())["Authorization"], "Bearer j");
  assert.deepEqual(await credentials.authParams(), { token: "j", tenant_id: "k" });
  assert.ok(credentials.canRefresh && !new Credentials({ token: "j" }, nothing).canRefresh);
});

test("no credentials are no headers and no message", async () => {
  const credentials = new Credentials({}, nothing);
  assert.deepEqual([await credentials.headers(), await credentials.authParams()], [{}, undefined]);
});
