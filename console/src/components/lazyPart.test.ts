import { expect, it, vi } from "vitest";
import { persistently } from "./lazyPart";

it("asks again until the part is there, less and less often", async () => {
  const load = vi.fn<() => Promise<string>>();
  for (let failures = 0; failures < 5; failures++) load.mockRejectedValueOnce(new TypeError("Failed to fetch"));
  load.mockResolvedValue("loaded");
  const pauses: number[] = [];
  const pause = async (milliseconds: number) => void pauses.push(milliseconds);
  expect(await persistently(load, pause)).toBe("loaded");
  expect(pauses).toEqual([250, 1_000, 4_000, 4_000, 4_000]);
});
