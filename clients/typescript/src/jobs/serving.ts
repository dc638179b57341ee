/** Give each job to a handler, as many at a time as the instance has slots. */
import type { Job, JobEvent, JobWork } from "./job.js";

/**
 * An async generator, whose items are emitted (tokens, or events as `[name, data]`), or a function. Both return the
 * result, if it is not made of the tokens.
 */
export type JobHandler = (job: Job) => AsyncGenerator<JobEvent, unknown> | Promise<unknown> | unknown;

/** Return when no more jobs come and all have ended. */
export async function serveJobs(jobs: AsyncIterable<Job>, handler: JobHandler): Promise<void> {
  const running = new Set<Promise<void>>();
  for await (const job of jobs) {
    const work = job.run(workOf(handler)).finally(() => running.delete(work));
    running.add(work);
  }
  await Promise.all(running);
}

function workOf(handler: JobHandler): JobWork {
  return async (job) => {
    const given = await handler(job);
    return isGenerator(given) ? await emitAll(job, given) : given;
  };
}

function isGenerator(value: unknown): value is AsyncGenerator<JobEvent, unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value && "next" in value;
}

/** Emit what the generator yields. It is closed when the job is to stop. */
async function emitAll(job: Job, events: AsyncGenerator<JobEvent, unknown>): Promise<unknown> {
  try {
    for (;;) {
      const item = await events.next();
      if (item.done) return item.value;
      await job.emit(item.value);
    }
  } finally {
    await events.return(undefined);
  }
}
