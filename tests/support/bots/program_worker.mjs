// The same as program_worker.py, in JavaScript. The options have the names of Python.
import { existsSync } from "node:fs";
import { AgentInstance, ClientError } from "../../../clients/typescript/dist/index.js";

function report(...words) {
  process.stdout.write(`${words.join(" ")}\n`);
}

async function* count(job) {
  report("begins", job.jobId, job.attempt);
  const words = job.messages.at(-1)?.content.split(" ") ?? [];
  const { tokens = Number(words[0]), seconds = Number(words[1] ?? 0) } = job.input;
  const file = words[2] ?? "/";
  for (let number = 0; number < tokens || !existsSync(file); number += 1) {
    yield `${number} `;
    if (job.attempt <= (job.input.held_attempts ?? 0)) await new Promise(() => {});
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

const [agentId, text] = process.argv.slice(2);
const { url, api_key: apiKey, slots, instance_id: instanceId } = JSON.parse(text);
const timing = { keepalive: 2, backoffFirst: 0.05, backoffMost: 0.5 };
const given = { url, apiKey, slots, timing, drainOnSigterm: true, ...(instanceId ? { instanceId } : {}) };
try {
  const me = await new AgentInstance(agentId, given).open();
  report("registered", me.epoch);
  await me.serve(count);
  await me.close();
  report("closed");
} catch (error) {
  if (!(error instanceof ClientError)) throw error;
  report("failed", error.name);
}
