import assert from "node:assert/strict";
import { test } from "node:test";
import { ClientError, Closed, Refused } from "../../../../clients/typescript/dist/index.js";
import { errorFromMessage, unexpectedError } from "../../../../clients/typescript/dist/errors.js";

test("credentials and rights have one code, and reasons that tell them apart", () => {
  const names = ["key_invalid", "token_expired", "ticket_invalid", "scope_missing"].map(
    (reason) => errorFromMessage({ code: 4001, message: "no", data: { reason } }).name,
  );
  assert.deepEqual(names, ["Unauthenticated", "Unauthenticated", "Unauthenticated", "Forbidden"]);
});

test("a refusal names the field, the reason and whether to try again", () => {
  const refused = errorFromMessage({
    code: 4005,
    message: "m",
    data: { reason: "invalid", field: "zone" },
    retryable: true,
  });
  assert.ok(refused instanceof Refused && refused instanceof ClientError);
  assert.deepEqual([refused.code, refused.reason, refused.field, refused.retryable], [4005, "invalid", "zone", true]);
});

test("an unexpected error keeps its cause, and an expected one stays", () => {
  const [cause, closed] = [new RangeError("oh"), new Closed("x")];
  assert.equal(unexpectedError(cause).cause, cause);
  assert.equal(unexpectedError(closed), closed);
});
