import type { Command, Interrupt, Run, Thread, ThreadState } from "@langchain/langgraph-sdk";
import { langgraph } from "../../../api/langgraph";
import { type Problem, toProblem } from "../../../api/problem";
import type { Message } from "./messages";
import { applyEvent, applyState, type Conversation, EMPTY, type RunError, type StreamEvent } from "./reducer";

/** `lost`: the page tries to reach the server again. `closed`: it will not, for the reason in `problem`. */
export type Connection = "loading" | "open" | "lost" | "closed";

export interface Snapshot {
  conversation: Conversation;
  connection: Connection;
  problem: Problem | null;
  thread: (Thread & { error?: unknown }) | null;
  state: ThreadState | null;
}

/** The start of a run: a message, the input of a graph without messages, answers, or nothing to go on. */
export interface Start {
  assistantId: string;
  input?: Record<string, unknown> | null;
  command?: Command;
  /** Start from this checkpoint, which makes a branch. */
  checkpointId?: string;
}

const FIRST = "1-0";
const AFTER_ALL = "1-999999999";
const RUNS = 50;
const WAITS = [250, 500, 1_000, 2_000, 4_000];
const HIDDEN_MS = 250;
const FINAL = new Set([401, 403, 404, 405]);

/** The message that another page of the console began a thread with: its events need not be waited for. */
const begun = new Map<string, { message: Message | null; runId: string }>();

/** Create a thread and its first run. Returns the id of the thread. */
export async function beginThread(start: Start, message: Message | null): Promise<string> {
  const { thread_id } = await langgraph.threads.create();
  const run = await createRun(thread_id, start);
  begun.set(thread_id, { message, runId: run.run_id });
  return thread_id;
}

function createRun(threadId: string, { assistantId, input, command, checkpointId }: Start): Promise<Run> {
  return langgraph.runs.create(threadId, assistantId, {
    input,
    command,
    checkpointId,
    streamMode: ["messages-tuple", "values"],
    streamSubgraphs: true,
    streamResumable: true,
  });
}

/**
 * One thread, followed: its state, and the stream of all its runs, also those of other clients. So a reload in mid-run and a
 * second browser see the same. A stream that breaks is opened again behind the last event.
 */
export class ThreadSession {
  #snapshot: Snapshot = { conversation: EMPTY, connection: "loading", problem: null, thread: null, state: null };
  #listeners = new Set<() => void>();
  #closed = new AbortController();
  #stream = new AbortController();
  #lastEventId: string | null = null;
  #scheduled = false;
  /** The current stream has delivered something, so it misses nothing that starts from now on. */
  #heard = false;

  constructor(readonly threadId: string) {
    const start = begun.get(threadId);
    if (!start) return;
    begun.delete(threadId);
    const messages = start.message ? [start.message] : [];
    this.#change({ conversation: { ...EMPTY, messages, run: { id: start.runId, started: false } } });
  }

  subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  getSnapshot = () => this.#snapshot;

  open() {
    this.#closed = new AbortController();
    void this.#follow(this.#closed.signal);
  }

  close() {
    this.#closed.abort();
    this.#stream.abort();
  }

  /** Start a run. `message` is shown at once, under the id that the thread will know it by. */
  async start(start: Start, message: Message | null = null): Promise<void> {
    const before = this.#snapshot.conversation;
    if (message) this.#update((now) => ({ ...now, messages: [...now.messages, message] }));
    try {
      const run = await createRun(this.threadId, start);
      this.#update((now) => ({
        ...now,
        error: null,
        interrupts: [],
        run: now.run ?? { id: run.run_id, started: false },
      }));
      if (!this.#heard) this.#restart();
    } catch (thrown) {
      if (message) this.#update((now) => ({ ...now, messages: now.messages.filter((each) => each.id !== message.id) }));
      this.#update((now) => ({ ...now, error: now.error ?? before.error }));
      throw toProblem(thrown);
    }
  }

  async cancel(): Promise<void> {
    const { run } = this.#snapshot.conversation;
    if (run) await langgraph.runs.cancel(this.threadId, run.id, false, "interrupt");
  }

  /** Read the thread again, for changes that no run makes. */
  async reload(): Promise<void> {
    await this.#load();
  }

  #restart() {
    this.#lastEventId = null;
    this.#stream.abort();
  }

  async #follow(closed: AbortSignal) {
    for (let failures = 0; !closed.aborted; ) {
      try {
        const position = await this.#load();
        this.#change({ connection: "open", problem: null });
        this.#stream = new AbortController();
        if (closed.aborted) return;
        await this.#read(position, AbortSignal.any([closed, this.#stream.signal]));
        failures = 0;
      } catch (thrown) {
        if (closed.aborted) return;
        if (this.#stream.signal.aborted) continue;
        const problem = toProblem(thrown);
        this.#lastEventId = problem.status === 422 ? null : this.#lastEventId;
        if (FINAL.has(problem.status)) return this.#change({ connection: "closed", problem });
        this.#change({ connection: this.#snapshot.thread ? "lost" : "loading", problem });
      }
      if (this.#stream.signal.aborted) continue;
      if (this.#snapshot.thread) this.#change({ connection: "lost" });
      await delay(WAITS[Math.min(failures++, WAITS.length - 1)] ?? 0, closed);
    }
  }

  async #read(position: string | undefined, signal: AbortSignal) {
    this.#heard = false;
    const parts = langgraph.threads.joinStream(this.threadId, {
      lastEventId: position,
      streamMode: "run_modes" as never,
      signal,
    });
    for await (const part of parts) {
      this.#heard = true;
      if (part.id) this.#lastEventId = part.id;
      const event = part as StreamEvent;
      this.#update((now) => applyEvent(now, event));
      const { run, stale } = this.#snapshot.conversation;
      if (event.event === "metadata" && (!run || stale)) await this.#load();
    }
  }

  /** Read the thread, its state and its open run. Returns the position in the stream from which nothing is missed. */
  async #load(): Promise<string | undefined> {
    const options = { signal: this.#closed.signal };
    // The runs first: what a run that ended by then wrote is in the state, and a run that begins later is in the stream.
    const runs = await langgraph.runs.list(this.threadId, { limit: RUNS, ...options });
    const [thread, state] = await Promise.all([
      langgraph.threads.get(this.threadId, options),
      langgraph.threads.getState(this.threadId, undefined, options),
    ]);
    const open = runs.find((run) => run.status === "running") ?? runs.findLast((run) => run.status === "pending");
    const goesOn = open && this.#lastEventId?.startsWith(`${open.run_id}:`);
    const run = open ? { id: open.run_id, started: open.status === "running" } : null;
    this.#update((now) => {
      const known = goesOn || !open ? now : { ...now, messages: now.messages.filter(isOwn) };
      const after = applyState(known, state.values, interruptsOf(state), run);
      return { ...after, error: run ? null : errorOf(thread, state) };
    });
    this.#change({ thread, state });
    if (open) return goesOn ? (this.#lastEventId ?? undefined) : `${open.run_id}:${FIRST}`;
    return runs[0] && `${runs[0].run_id}:${AFTER_ALL}`;
  }

  #update(change: (now: Conversation) => Conversation) {
    this.#change({ conversation: change(this.#snapshot.conversation) });
  }

  #change(changed: Partial<Snapshot>) {
    this.#snapshot = { ...this.#snapshot, ...changed };
    if (this.#scheduled) return;
    this.#scheduled = true;
    const tell = () => {
      this.#scheduled = false;
      for (const listener of this.#listeners) listener();
    };
    // Once a frame, however many tokens came. A page in the background has no frames.
    if (document.visibilityState === "hidden") setTimeout(tell, HIDDEN_MS);
    else requestAnimationFrame(tell);
  }
}

/** Messages of the user that the stream will not repeat before they are in the state. */
const isOwn = (message: Message) => !message.live || message.type === "human";

/** The open interrupts of a state, each once. */
export function interruptsOf(state: ThreadState): Interrupt[] {
  return state.tasks.flatMap((task) => task.interrupts ?? []);
}

function errorOf(thread: Thread & { error?: unknown }, state: ThreadState): RunError | null {
  if (thread.status !== "error") return null;
  const task = state.tasks.find((each) => each.error)?.error;
  if (thread.error && typeof thread.error === "object") {
    const { error, message } = thread.error as Record<string, unknown>;
    return { error: `${error ?? "Error"}`, message: `${message ?? JSON.stringify(thread.error)}` };
  }
  return { error: "The last run failed", message: `${thread.error ?? task ?? "The thread does not say why."}` };
}

function delay(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
