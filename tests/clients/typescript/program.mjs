// Run one Client or AgentInstance of @agenthall/client, driven by the test: each line of stdin is a call, and each line of
// stdout an answer or an event. `process.argv`: the class, its arguments as JSON, and scripted callbacks as JSON.
//
//   {"id": 1, "name": "discover", "arguments": ["debugging"]}  calls a method, or reads a property without arguments
//   {"id": 2, "follow": {"agentId": "x"}}                       watches; each event is a line {"watch": 2, "event": …}
//   {"id": 3, "unfollow": 2}                                    ends that watch
//   {"callbacks": {"health": "degraded"}}                       changes what a callback returns; {"throws": …} throws
//   {"id": 4, "serve": "tokens"}                                serves a handler of handlers.mjs
//   {"id": 5, "take": true}                                     takes a job; the answer is its request
//   {"id": 6, "job": "…", "name": "emit", "arguments": ["a"]}   calls a method of a job that was taken
import { createInterface } from "node:readline";
import * as handlers from "./handlers.mjs";
import * as package_ from "../../../clients/typescript/dist/index.js";

const [kind, given = "[]", scripted = "{}"] = process.argv.slice(2);
const callbacks = JSON.parse(scripted);
const watches = new Map();
const jobs = new Map();
let taking;

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function scriptedCallback(name) {
  return async () => {
    const value = Array.isArray(callbacks[name]) ? nextOf(callbacks[name]) : callbacks[name];
    say({ called: name });
    if (value?.throws !== undefined) throw new Error(value.throws);
    return value === "NaN" ? { workload: NaN } : value;
  };
}

// The values take turns.
function nextOf(values) {
  values.push(values.shift());
  return values.at(-1);
}

const logger = { info: () => {}, warn: (text) => say({ warn: text }), error: (text) => say({ logged: text }) };
const args = JSON.parse(given);
const options = { ...args.pop(), logger };
for (const name of Object.keys(callbacks)) options[name] = scriptedCallback(name);
const client = new package_[kind](...args, options);

async function follow(id, filters) {
  const events = client.watch(filters);
  watches.set(id, events);
  for await (const event of events) say({ watch: id, event });
}

async function take() {
  taking ??= client.jobs();
  const { value: job } = await taking.next();
  if (job === undefined) return null;
  jobs.set(job.jobId, job);
  job.signal.addEventListener("abort", () => say({ stopped: job.jobId, reason: job.signal.reason.name }));
  return { ...job, messages: job.messages, result: undefined };
}

async function handle({ id, name, arguments: values, job: jobId, ...call }) {
  const { follow: filters, unfollow, callbacks: changed, serve, take: takes } = call;
  if (takes) return await take();
  if (serve !== undefined) return await client.serve(handlers[serve]);
  if (jobId !== undefined) return await jobs.get(jobId)[name](...values);
  Object.assign(callbacks, changed);
  if (filters !== undefined) return await follow(id, filters);
  if (unfollow !== undefined) return await watches.get(unfollow).return();
  if (name === undefined) return undefined;
  const member = client[name];
  const value = typeof member === "function" ? await member.apply(client, values ?? []) : member;
  return value === client ? undefined : value;
}

client.signal.addEventListener("abort", () => say({ ended: client.signal.reason.name, state: client.state }));
for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  handle(call).then(
    (value) => say({ id: call.id, value: value ?? null }),
    (error) =>
      say({
        id: call.id,
        error: { ...error, name: error.name, message: error.message, cause: error.cause?.message },
      }),
  );
}
