import type { Interrupt } from "@langchain/langgraph-sdk";
import { textOf } from "./content";
import { callsOf, isAssistant, type Message, merge } from "./messages";

export interface RunError {
  error: string;
  message: string;
}

/** A thread as the page knows it: its state, and the additions of the stream of its runs. */
export interface Conversation {
  messages: Message[];
  /** The state without its messages. */
  values: Record<string, unknown>;
  interrupts: Interrupt[];
  /** The run under way. */
  run: { id: string; started: boolean } | null;
  error: RunError | null;
  /** Events were lost, so that only the thread's state tells what happened. */
  stale: boolean;
}

export const EMPTY: Conversation = { messages: [], values: {}, interrupts: [], run: null, error: null, stale: false };

/** An event of the stream of a thread. */
export interface StreamEvent {
  event: string;
  data: unknown;
}

export function applyEvent(before: Conversation, { event, data }: StreamEvent): Conversation {
  const [kind, ...namespace] = event.split("|");
  switch (kind) {
    case "metadata":
      return applyMetadata(before, record(data));
    case "messages":
      return Array.isArray(data) ? applyChunk(before, data[0], namespace) : before;
    case "messages/partial":
    case "messages/complete":
      return Array.isArray(data) ? data.reduce((all, each) => applyWhole(all, each, namespace), before) : before;
    case "values":
      return namespace.length ? before : applyValues(before, record(data));
    case "error":
      return { ...before, error: errorOf(data) };
    default:
      return before;
  }
}

/** A run begins, ends, or has lost events. */
function applyMetadata(before: Conversation, data: Record<string, unknown>): Conversation {
  const { run_id, status, missing_events } = data;
  if (missing_events) return { ...before, stale: true };
  if (typeof run_id !== "string") return before;
  if (status === "run_done") return before.run?.id === run_id || !before.run ? { ...before, run: null } : before;
  const kept = before.messages.filter((message) => !message.lost && !(message.live && isAssistant(message)));
  return { ...before, messages: kept, run: { id: run_id, started: true }, error: null, interrupts: [] };
}

function applyChunk(before: Conversation, given: unknown, namespace: string[]): Conversation {
  const chunk = messageOf(given, namespace);
  if (!chunk) return before;
  if (chunk.type !== "AIMessageChunk") return put(before, chunk);
  const known = before.messages.find((message) => message.id === chunk.id);
  if (!known) return put(before, chunk);
  // A message of the state is whole: the stream repeats what a page that comes later has already read.
  return known.live ? put(before, merge(known, chunk)) : before;
}

function applyWhole(before: Conversation, given: unknown, namespace: string[]): Conversation {
  const message = messageOf(given, namespace);
  return message ? put(before, message) : before;
}

function put(before: Conversation, message: Message): Conversation {
  const at = before.messages.findIndex((each) => each.id === message.id);
  if (at < 0) return { ...before, messages: [...before.messages, message] };
  return { ...before, messages: before.messages.with(at, message) };
}

function messageOf(given: unknown, namespace: string[]): Message | null {
  const raw = record(given);
  if (typeof raw.type !== "string" || typeof raw.id !== "string" || raw.type === "remove") return null;
  const from = namespace.length ? { from: namespace.map((part) => part.split(":")[0]).join(" › ") } : {};
  return { ...(raw as unknown as Message), ...from, live: true };
}

/** The state after a step. Messages that are still being written stay behind it. */
function applyValues(before: Conversation, data: Record<string, unknown>): Conversation {
  const { __interrupt__, ...values } = data;
  const after = withState(before, values);
  return Array.isArray(__interrupt__) ? { ...after, interrupts: __interrupt__ as Interrupt[] } : after;
}

function withState(before: Conversation, values: Record<string, unknown>): Conversation {
  const { messages, rest } = split(values);
  const ids = new Set(messages.map((message) => message.id));
  const written = before.messages.filter((message) => message.live && !ids.has(message.id));
  return { ...before, messages: [...reuse(before.messages, messages), ...written], values: rest };
}

/** Keep the objects of messages that did not change, so that they are not rendered again. */
function reuse(before: Message[], after: Message[]): Message[] {
  const known = new Map(before.map((message) => [message.id, message]));
  return after.map((message) => {
    const old = known.get(message.id);
    return old && !old.live && JSON.stringify(old) === JSON.stringify(message) ? old : message;
  });
}

/** The state as the server has it, while no run is under way or after events were lost. */
export function applyState(
  before: Conversation,
  values: unknown,
  interrupts: Interrupt[],
  run: Conversation["run"],
): Conversation {
  const { messages, rest } = split(record(values));
  const ids = new Set(messages.map((message) => message.id));
  const left = before.messages.filter((message) => !ids.has(message.id) && (message.live || message.lost));
  const written = run ? left : left.filter(isWorthKeeping).map((message) => ({ ...message, live: false, lost: true }));
  return {
    ...before,
    messages: [...reuse(before.messages, messages), ...written],
    values: rest,
    interrupts,
    run,
    stale: false,
  };
}

function isWorthKeeping(message: Message): boolean {
  return !message.from && isAssistant(message) && (textOf(message.content) !== "" || callsOf(message).length > 0);
}

/** The messages of a state and the rest of it. A state may have no messages, or something else under that name. */
export function split(values: Record<string, unknown>): { messages: Message[]; rest: Record<string, unknown> } {
  const { messages, ...rest } = values;
  if (!Array.isArray(messages) || !messages.every(isMessage)) return { messages: [], rest: values };
  return {
    messages: messages.map((message, index) => ({ ...message, id: message.id ?? `message-${index}` })),
    rest,
  };
}

function isMessage(value: unknown): value is Message {
  const { type, content } = record(value);
  return typeof type === "string" && content !== undefined;
}

function errorOf(data: unknown): RunError {
  const { error, message } = record(data);
  return { error: `${error ?? "Error"}`, message: typeof message === "string" ? message : JSON.stringify(data) };
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
