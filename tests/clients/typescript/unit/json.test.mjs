import assert from "node:assert/strict";
import { test } from "node:test";
import {
  joinItems,
  joinMembers,
  toCamelCase,
  toJson,
  toParams,
  toSnakeCase,
} from "../../../../clients/typescript/dist/json.js";
import { instanceFromJson } from "../../../../clients/typescript/dist/instance-record.js";
import { registrationFromResult } from "../../../../clients/typescript/dist/registration.js";

test("what is no JSON is an error", () => {
  for (const value of [NaN, Infinity, 1n]) assert.throws(() => toJson({ a: [value] }), TypeError);
  for (const value of [undefined, () => 1]) assert.throws(() => toJson(value), TypeError);
  assert.equal(toJson({ a: undefined, b: 1.5 }).text, '{"b":1.5}');
});

test("JSON texts are joined as they are", () => {
  const one = joinMembers({ a: toJson("ü"), b: undefined, c: null });
  assert.equal(joinItems([one, toJson(1)]).text, '[{"a":"ü","c":null},1]');
  assert.equal(toJson("ü").bytes, 4);
});

test("names are camel case here and snake case in messages", () => {
  assert.deepEqual([toSnakeCase("freeSlots"), toCamelCase("lease_ttl_seconds")], ["free_slots", "leaseTtlSeconds"]);
  assert.deepEqual(toParams({ freeSlots: 1, zone: undefined }, ["freeSlots", "zone"]), { free_slots: 1 });
  assert.throws(() => toParams({ colour: "red" }, ["zone"]), /colour is not known/);
});

test("the times of an instance are dates, and its metadata stays as it is", () => {
  const record = instanceFromJson({
    registration_id: "r",
    registered_at: "2026-11-22T09:56:27.880000+00:00",
    lease_expires_at: null,
    runtime_config: { some_key: 1 },
  });
  assert.equal(record.registeredAt.getTime(), Date.UTC(2026, 10, 22, 9, 56, 27, 880));
  assert.deepEqual([record.leaseExpiresAt, record.runtimeConfig], [null, { some_key: 1 }]);
});

test("a registration has no secrets", () => {
  const registration = registrationFromResult({ registration_id: "r", epoch: 1, resume_token: "secret" });
  assert.ok(registration.registrationId === "r" && !JSON.stringify(registration).includes("secret"));
});
