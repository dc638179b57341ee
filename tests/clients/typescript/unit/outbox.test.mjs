import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonText } from "../../../../clients/typescript/dist/json.js";
import { EventOutbox, MAX_BYTES, MAX_EVENTS } from "../../../../clients/typescript/dist/jobs/outbox.js";

function filled(count, size = 1) {
  const outbox = new EventOutbox();
  for (let number = 1; number <= count; number += 1) outbox.append(new JsonText(String(number).padStart(size, "0")));
  return outbox;
}

function batchOf(outbox) {
  const [first, events] = outbox.nextBatch();
  return [first, events.map((each) => each.text)];
}

test("events are repeated until they are acknowledged", () => {
  const outbox = filled(5);
  assert.deepEqual(batchOf(outbox), [1, ["1", "2", "3", "4", "5"]]);
  assert.deepEqual(batchOf(outbox), [1, ["1", "2", "3", "4", "5"]]);
  outbox.acknowledge(2);
  assert.deepEqual(batchOf(outbox), [3, ["3", "4", "5"]]);
  outbox.acknowledge(1);
  outbox.acknowledge(99);
  assert.deepEqual([outbox.length, outbox.appliedThrough], [0, 5]);
});

test("a batch has no more bytes than fit into a message", () => {
  const sizes = [MAX_BYTES, MAX_BYTES / 2, Math.floor(MAX_BYTES / 3), 1];
  assert.deepEqual(
    sizes.map((size) => filled(4, size).nextBatch()[1].length),
    [1, 2, 3, 4],
  );
});

test("the window has a number of events and of bytes", () => {
  assert.ok(!filled(MAX_EVENTS - 1).isFull && filled(MAX_EVENTS).isFull);
  const outbox = filled(3, 100 * 1024);
  assert.ok(outbox.isFull);
  outbox.acknowledge(1);
  assert.ok(!outbox.isFull);
  outbox.drop();
  assert.deepEqual(batchOf(outbox), [2, []]);
});
