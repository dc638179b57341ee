import assert from "node:assert/strict";
import { test } from "node:test";
import {
  errorForClose,
  errorForStatus,
  parseRetryAfter,
  problemDetail,
  RetryConnection,
} from "../../../../clients/typescript/dist/connection/close-policy.js";

test("some close codes are final", () => {
  const names = [4401, 4403, 4409].map((code) => errorForClose({ code, reason: "the reason" }).name);
  assert.deepEqual(names, ["Unauthenticated", "Forbidden", "Superseded"]);
});

for (const [event, minDelay, spread] of [
  [{ code: undefined, reason: "" }, 0, undefined],
  [{ code: 1000, reason: "" }, 0, undefined],
  [{ code: 1011, reason: "oh" }, 0, undefined],
  [{ code: 4408, reason: "lease lost" }, 0, 0.5],
  [{ code: 4429, reason: "slow" }, 5, undefined],
  [{ code: 1012, reason: "restart" }, 0, 2],
  [{ code: 1012, reason: "restart", reconnectAfter: 1.5 }, 1.5, 0.1],
]) {
  test(`${event.code} ${event.reconnectAfter ?? ""} says when to reconnect`, () => {
    const retry = errorForClose(event);
    assert.ok(retry instanceof RetryConnection);
    assert.deepEqual([retry.minDelay, retry.spread], [minDelay, spread]);
  });
}

test("a refused handshake is decided by its status", () => {
  const names = [401, 403, 400, 404].map((status) => errorForStatus(status, "no", 0).name);
  assert.deepEqual(names, ["Unauthenticated", "Forbidden", "Refused", "Refused"]);
  for (const status of [429, 500, 503]) assert.equal(errorForStatus(status, "starting", 7).minDelay, 7);
});

test("Retry-After is a number of seconds, at most 60", () => {
  const texts = [undefined, null, "", "7", "3600", "-1", "Wed, 21 Oct 2026 07:28:00 GMT"];
  assert.deepEqual(texts.map(parseRetryAfter), [0, 0, 0, 7, 60, 0, 0]);
});

test("the detail of a problem is a string or missing", () => {
  const bodies = ['{"detail": "no"}', '{"detail": 7}', "{}", "null", "<html>", ""];
  assert.deepEqual(bodies.map(problemDetail), ["no", undefined, undefined, undefined, undefined, undefined]);
});
