import { type ComponentType, type LazyExoticComponent, lazy } from "react";

const WAITS = [250, 1_000, 4_000];

/** A part of a page that is loaded when it is needed. A server that is away meanwhile is asked until it answers. */
// biome-ignore lint/suspicious/noExplicitAny: as `lazy` has it
export function lazyPart<Part extends ComponentType<any>>(
  load: () => Promise<{ default: Part }>,
): LazyExoticComponent<Part> {
  return lazy(() => persistently(load));
}

/** The result of the first attempt that succeeds. React would keep the failure of the first one for ever. */
export async function persistently<Result>(load: () => Promise<Result>, pause = wait): Promise<Result> {
  for (let failures = 0; ; failures++) {
    try {
      return await load();
    } catch {
      await pause(WAITS[Math.min(failures, WAITS.length - 1)] ?? 0);
    }
  }
}

function wait(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
