// Handlers that program.mjs serves.

export async function* tokens() {
  yield "he";
  yield ["custom", { half: true }];
  yield "llo";
}

export async function* tokensAndResult() {
  yield "he";
  return { done: true };
}

export async function answer(job) {
  return `to ${job.messages[0].content}`;
}

export function plainAnswer(job) {
  return `to ${job.messages[0].content}`;
}

export async function divide(job) {
  if (job.input.by === 0) throw new RangeError("division by zero");
  return String(1 / job.input.by);
}

let arrived = 0;
let allArrived;
const together = new Promise((resolve) => (allArrived = resolve));

/** Three jobs end only together. */
export async function meet() {
  arrived += 1;
  if (arrived === 3) allArrived();
  await together;
  return "met";
}

/** Emits for ever, and says when it is closed. */
export async function* endless() {
  try {
    for (;;) yield "a";
  } finally {
    process.stdout.write(`${JSON.stringify({ closed: "endless" })}\n`);
  }
}

/** Waits until it is to stop. */
export async function patient(job) {
  await job.emit("a");
  await new Promise((resolve) => job.signal.addEventListener("abort", resolve));
}

export async function* many() {
  for (let number = 0; number < 300; number += 1) yield `${number} `;
}
