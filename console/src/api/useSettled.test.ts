import { act, renderHook } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { useSettled } from "./useSettled";

describe("useSettled", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("has the first text at once", () => {
    expect(renderHook(() => useSettled("rent")).result.current).toBe("rent");
  });

  test("has of a word that is written the end alone", () => {
    const seen = new Set<string | undefined>();
    const { rerender } = renderHook(({ text }) => seen.add(useSettled(text)), {
      initialProps: { text: undefined as string | undefined },
    });
    for (const text of ["r", "re", "ren", "rent"]) {
      rerender({ text });
      act(() => vi.advanceTimersByTime(200));
    }
    expect([...seen]).toEqual([undefined]);
    act(() => vi.advanceTimersByTime(50));
    expect([...seen]).toEqual([undefined, "rent"]);
  });
});
