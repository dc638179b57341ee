// Calls every method of the official JavaScript SDK on the server at AGENTHALL_URL, and prints one JSON object: the outcome of each
// method, as "works", or the status and code of its refusal, or the error; and the seconds that the refused ones took.
import assert from "node:assert/strict";
import { Client } from "@langchain/langgraph-sdk";

const client = new Client({ apiUrl: process.env.AGENTHALL_URL });
const { assistants, threads, runs, store, crons } = client;
const outcomes = {};
const seconds = {};

async function calls(method, body) {
  const began = performance.now();
  try {
    await body();
    outcomes[method] = "works";
  } catch (error) {
    const code = /"code":\s*"(\w+)"/.exec(error.message ?? "")?.[1] ?? error.body?.code;
    outcomes[method] = error.status ? `${error.status} ${code ?? ""}`.trim() : String(error.stack ?? error);
  }
  seconds[method] = (performance.now() - began) / 1000;
}

async function collect(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

async function events(stream) {
  return (await collect(stream)).map((part) => part.event);
}

const assistant = await assistants.create({ graphId: "echo", name: "from JavaScript", metadata: { by: "js" } });
const { assistant_id: id } = assistant;
const thread = async () => (await threads.create()).thread_id;
const counted = await thread();

await calls("assistants.create", async () => assert.equal(assistant.graph_id, "echo"));
await calls("assistants.get", async () => assert.equal((await assistants.get(id)).name, "from JavaScript"));
await calls("assistants.getGraph", async () => assert.ok((await assistants.getGraph(id, { xray: true })).nodes.length > 2));
await calls("assistants.getSchemas", async () => assert.ok((await assistants.getSchemas(id)).input_schema));
await calls("assistants.getSubgraphs", async () => assert.deepEqual(await assistants.getSubgraphs(id), {}));
await calls("assistants.update", async () => {
  const changed = await assistants.update(id, { name: "renamed", metadata: { more: 1 } });
  assert.deepEqual([changed.name, changed.version, changed.metadata.by], ["renamed", 2, "js"]);
});
await calls("assistants.getVersions", async () => assert.equal((await assistants.getVersions(id)).length, 2));
await calls("assistants.setLatest", async () => assert.equal((await assistants.setLatest(id, 1)).name, "from JavaScript"));
await calls("assistants.search", async () => {
  const found = await assistants.search({ metadata: { by: "js" }, graphId: "echo" });
  assert.deepEqual(found.map((each) => each.assistant_id), [id]);
});
await calls("assistants.count", async () => assert.equal(await assistants.count({ metadata: { by: "js" } }), 1));

await calls("threads.create", async () => {
  const made = await threads.create({ metadata: { by: "js" }, ifExists: "raise" });
  assert.equal(made.status, "idle");
});
await calls("threads.get", async () => assert.equal((await threads.get(counted)).thread_id, counted));
await calls("threads.update", async () => {
  assert.equal((await threads.update(counted, { metadata: { step: 1 } })).metadata.step, 1);
});
await calls("threads.patchState", () => threads.patchState(counted, { step: 2 }));
await calls("runs.wait", async () => {
  assert.equal((await runs.wait(counted, "counter", { input: { until: 2 } })).count, 2);
  assert.deepEqual(await runs.wait(null, "echo", { input: { text: "hi" } }), { text: "hi" });
});
await calls("threads.getState", async () => assert.equal((await threads.getState(counted)).values.count, 2));
await calls("threads.getHistory", async () => assert.ok((await threads.getHistory(counted)).length >= 3));
await calls("threads.updateState", async () => {
  const written = await threads.updateState(counted, { values: { count: 7 }, asNode: "step" });
  assert.equal((await threads.getState(counted)).values.count, 7);
  assert.equal((await threads.getState(counted, written.checkpoint)).values.count, 7);
});
await calls("threads.copy", async () => {
  const copy = await threads.copy(counted);
  assert.equal((await threads.getState(copy.thread_id)).values.count, 7);
});
await calls("threads.search", async () => {
  const found = await threads.search({ metadata: { step: 1 }, limit: 10, select: ["thread_id", "values"] });
  assert.ok(found.some((each) => each.thread_id === counted && each.values.count === 7));
});
await calls("threads.count", async () => assert.ok((await threads.count({ metadata: { step: 1 } })) >= 1));
await calls("threads.prune", async () => {
  const gone = await thread();
  assert.equal((await threads.prune([gone])).pruned_count, 1);
  await assert.rejects(threads.get(gone), /404/);
});
await calls("threads.delete", async () => {
  const gone = await thread();
  await threads.delete(gone);
  await assert.rejects(threads.get(gone), /404/);
});
await calls("threads.joinStream", async () => {
  const watched = await thread();
  const reading = new AbortController();
  const stream = threads.joinStream(watched, { signal: reading.signal, streamMode: ["run_modes"] });
  let first;
  const reader = stream.next().then((part) => (first = part));
  reader.catch(() => undefined); // it may fail before it is awaited
  // Nothing says when the stream is open, and it has only runs that begin afterwards.
  while (first === undefined) {
    await runs.wait(watched, "counter", { input: { until: 2 } });
    await Promise.race([reader, null]);
  }
  assert.ok(first.value.event);
  reading.abort();
  await stream.return?.().catch(() => undefined);
});
await calls("threads.stream", async () => {
  const session = threads.stream(await thread(), { assistantId: "echo" });
  await session.run.start({ input: { text: "hi" } });
});

await calls("runs.stream", async () => {
  const parts = await collect(runs.stream(null, "echo", { input: { text: "hi" }, streamMode: ["values", "updates"] }));
  assert.deepEqual([...new Set(parts.map((part) => part.event))].sort(), ["metadata", "updates", "values"]);
  const nodes = await events(runs.stream(await thread(), "counter", { input: { until: 2 }, streamMode: "events" }));
  assert.ok(nodes.includes("events"));
});
await calls("runs.create", async () => {
  const waiting = await runs.create(await thread(), "approval", { input: { question: "Go?" }, metadata: { by: "js" } });
  assert.equal(waiting.status, "pending");
});
await calls("runs.createBatch", async () => {
  const made = await runs.createBatch([{ assistantId: "echo", input: {} }, { assistantId: "echo", input: {} }]);
  assert.equal(made.length, 2);
});
const ended = await runs.create(counted, "counter", { input: { until: 9 }, streamMode: "values", streamResumable: true });
await calls("runs.join", async () => assert.equal((await runs.join(counted, ended.run_id)).count, 9));
await calls("runs.joinStream", async () => {
  const parts = await collect(runs.joinStream(counted, ended.run_id, { lastEventId: "-1", streamMode: "values" }));
  assert.ok(parts.some((part) => part.event === "values"));
});
await calls("runs.get", async () => assert.equal((await runs.get(counted, ended.run_id)).status, "success"));
await calls("runs.list", async () => assert.ok((await runs.list(counted, { status: "success" })).length >= 1));
await calls("runs.delete", async () => {
  await runs.delete(counted, ended.run_id);
  await assert.rejects(runs.get(counted, ended.run_id), /404/);
});
const long = { input: { until: 100000 }, streamMode: "values" };
await calls("runs.cancel", async () => {
  const busy = await thread();
  const run = await runs.create(busy, "counter", long);
  await runs.cancel(busy, run.run_id, true);
  assert.equal((await runs.get(busy, run.run_id)).status, "interrupted");
});
await calls("runs.cancelMany", async () => {
  const busy = await thread();
  const run = await runs.create(busy, "counter", long);
  await runs.cancelMany({ threadId: busy, runIds: [run.run_id] });
  await runs.join(busy, run.run_id).catch(() => undefined);
  assert.equal((await runs.get(busy, run.run_id)).status, "interrupted");
});

await calls("store.putItem", () => store.putItem(["js", "notes"], "one", { text: "tea", stars: 5 }, { ttl: 60 }));
await calls("store.getItem", async () => assert.equal((await store.getItem(["js", "notes"], "one")).value.stars, 5));
await calls("store.searchItems", async () => {
  const { items } = await store.searchItems(["js"], { filter: { stars: { $gte: 4 } }, refreshTtl: false });
  assert.deepEqual(items.map((item) => item.key), ["one"]);
});
await calls("store.listNamespaces", async () => {
  const { namespaces } = await store.listNamespaces({ prefix: ["js"], maxDepth: 2 });
  assert.deepEqual(namespaces, [["js", "notes"]]);
});
await calls("store.deleteItem", async () => {
  await store.deleteItem(["js", "notes"], "one");
  assert.equal(await store.getItem(["js", "notes"], "one"), null);
});

const schedule = { schedule: "0 0 * * *", input: {} };
await calls("crons.create", () => crons.create("echo", schedule));
await calls("crons.createForThread", () => crons.createForThread(counted, "echo", schedule));
await calls("crons.search", () => crons.search());
await calls("crons.count", () => crons.count());
await calls("crons.update", () => crons.update(id, { schedule: "0 1 * * *" }));
await calls("crons.delete", () => crons.delete(id));

await calls("assistants.delete", async () => {
  await assistants.delete(id);
  await assert.rejects(assistants.get(id), /404/);
});

const methods = [];
for (const [part, value] of Object.entries({ assistants, threads, runs, store, crons })) {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(value));
  methods.push(...names.filter((name) => name !== "constructor").map((name) => `${part}.${name}`));
}
console.log(JSON.stringify({ methods, outcomes, seconds }));
process.exit(0);
