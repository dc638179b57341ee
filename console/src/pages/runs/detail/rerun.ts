import type { ListedRun } from "../run";

/**
 * Fields that a new run takes over from an earlier one. Its configuration is that of the assistant as it is now, and it waits
 * for other runs of the thread.
 */
export function rerunOf(run: Pick<ListedRun, "assistant_id" | "kwargs">) {
  const { input, command, interrupt_before, interrupt_after } = run.kwargs;
  return {
    assistant_id: run.assistant_id,
    payload: {
      ...(input != null && { input: input as Record<string, unknown> }),
      ...(command != null && { command }),
      ...(interrupt_before != null && { interruptBefore: interrupt_before as "*" | string[] }),
      ...(interrupt_after != null && { interruptAfter: interrupt_after as "*" | string[] }),
      multitaskStrategy: "enqueue" as const,
    },
  };
}
