import assert from "node:assert/strict";
import { test } from "node:test";
import { AsyncEvent } from "../../../../clients/typescript/dist/connection/async-event.js";

test("setting the flag wakes all that wait", async () => {
  const event = new AsyncEvent();
  const waiting = [event.wait(), event.wait(60)];
  event.set();
  assert.deepEqual(await Promise.all([...waiting, event.wait()]), [true, true, true]);
});

test("waiting ends after its time limit", async () => {
  const event = new AsyncEvent();
  assert.equal(await event.wait(0.01), false);
  event.set();
  event.clear();
  assert.equal(await event.wait(0), false);
});
