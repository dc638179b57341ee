import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff, jitter } from "../../../../clients/typescript/dist/connection/backoff.js";

test("delays grow to a limit and start again after a reset", () => {
  for (let round = 0; round < 50; round += 1) {
    const backoff = new Backoff(1, 8);
    for (const ceiling of [1, 2, 4, 8, 8, 8, 8, 8]) {
      const delay = backoff.nextDelay();
      assert.ok(delay >= 0 && delay <= ceiling, `${delay} of ${ceiling}`);
    }
    backoff.reset();
    assert.ok(backoff.nextDelay() <= 1);
  }
});

test("a delay never overflows", () => {
  const backoff = new Backoff(0.5, 15);
  for (let round = 0; round < 2000; round += 1) assert.ok(backoff.nextDelay() <= 15);
});

test("jitter keeps its bounds", () => {
  for (let round = 0; round < 50; round += 1) {
    const value = jitter(10, 8.5);
    assert.ok(value >= 8.5 && value <= 10);
  }
});
