import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonText } from "../../../../clients/typescript/dist/json.js";
import { EventOutbox, MAX_EVENTS } from "../../../../clients/typescript/dist/jobs/outbox.js";

function filled(count, size = 1) {
  const outbox = new EventOutbox();
  for (let number = 1; number <= count; number += 1) outbox.append(new JsonText(String(number).padStart(size, "0")));
  return outbox;
}

function batchOf(outbox, maxBytes) {
  const [first, events] = outbox.nextBatch(maxBytes);
  return [first, events.map((each) => each.text)];
}

test("events are repeated until they are acknowledged", () => {
  const outbox = filled(5);
  assert.deepEqual(batchOf(outbox, 100), [1, ["1", "2", "3", "4", "5"]]);
  assert.deepEqual(batchOf(outbox, 100), [1, ["1", "2", "3", "4", "5"]]);
  outbox.acknowledge(2);
  assert.deepEqual(batchOf(outbox, 100), [3, ["3", "4", "5"]]);
  outbox.acknowledge(1);
  outbox.acknowledge(99);
  assert.deepEqual([outbox.length, outbox.appliedThrough], [0, 5]);
});

test("a batch has at least one event and no more bytes than fit", () => {
  const outbox = filled(4, 10);
  const lengths = [1, 11, 21, 22, 1000].map((size) => outbox.nextBatch(size)[1].length);
  assert.deepEqual(lengths, [1, 1, 1, 2, 4]);
});

test("the window has a number of events and of bytes", () => {
  assert.ok(!filled(MAX_EVENTS - 1).isFull && filled(MAX_EVENTS).isFull);
  const outbox = filled(3, 100 * 1024);
  assert.ok(outbox.isFull);
  outbox.acknowledge(1);
  assert.ok(!outbox.isFull);
  outbox.drop();
  assert.deepEqual(batchOf(outbox, 10), [2, []]);
});
