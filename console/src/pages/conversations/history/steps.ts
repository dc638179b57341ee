import type { ThreadState } from "@langchain/langgraph-sdk";
import { checkpointOf, parentOf } from "./useHistory";

export interface Step {
  id: string;
  title: string;
  about: string;
  at: string | null;
  /** Another step has the same parent: here the history branches. */
  isBranch: boolean;
  waits: boolean;
  state: ThreadState;
}

/** The steps of a timeline. A step is named for the nodes that its parent was about to run. */
export function stepsOf(states: ThreadState[]): Step[] {
  const known = new Map(states.map((state) => [checkpointOf(state), state]));
  const children = new Map<string | undefined, number>();
  for (const state of states) children.set(parentOf(state), (children.get(parentOf(state)) ?? 0) + 1);
  return states.map((state) => ({
    id: checkpointOf(state) ?? "",
    title: titleOf(state, known.get(parentOf(state))),
    about: state.next.length ? `next: ${state.next.map(wordOf).join(", ")}` : "end",
    at: state.created_at ?? null,
    isBranch: parentOf(state) !== undefined && (children.get(parentOf(state)) ?? 0) > 1,
    waits: state.tasks.some((task) => (task.interrupts ?? []).length > 0),
    state,
  }));
}

function titleOf(state: ThreadState, parent: ThreadState | undefined): string {
  const source = (state.metadata as Record<string, unknown> | null)?.source;
  if (source === "input") return "Input";
  if (source === "update") return "State edited";
  if (source === "fork") return "Fork";
  return parent?.next.map(wordOf).join(", ") || "Step";
}

/** LangGraph's name for the step that takes the input is no name of a node. */
const wordOf = (node: string) => (node === "__start__" ? "start" : node);

interface Keyed {
  id?: unknown;
}

/**
 * The update that makes one state of another: the members that changed. A reducer of messages only adds and replaces,
 * so a message that is gone is removed by name.
 */
export function updateOf(before: Record<string, unknown>, after: Record<string, unknown>): Record<string, unknown> {
  const changed = Object.entries(after).filter(([name, value]) => !isEqual(before[name], value));
  return Object.fromEntries(changed.map(([name, value]) => [name, withRemovals(before[name], value)]));
}

function withRemovals(before: unknown, after: unknown): unknown {
  if (!isMessages(before) || !Array.isArray(after)) return after;
  const kept = new Set(after.map((message: Keyed) => message?.id));
  const gone = before.filter((message) => !kept.has(message.id));
  return [...gone.map(({ id }) => ({ type: "remove", id, content: "" })), ...after];
}

function isMessages(value: unknown): value is { id: string; type: string }[] {
  return Array.isArray(value) && value.length > 0 && value.every((each) => each?.id && each?.type);
}

const isEqual = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);
