import { expect, it } from "vitest";
import { MOST_SAMPLES, type Sample, type Signals, seriesOf, withSample } from "./scaling";

const signals = (agent_id: string, queued: number): Signals => ({
  agent_id,
  queued,
  oldest_queued_seconds: 0,
  offered: 0,
  in_flight: 0,
  instances: 1,
  slots: 1,
  utilisation: 0,
  ejected: 0,
  desired_instances: 0,
});

it("keeps an hour of samples, each once", () => {
  let samples: Sample[] = [];
  for (let at = 0; at < MOST_SAMPLES + 5; at += 1) samples = withSample(samples, [signals("a", at)], at);
  expect(samples).toHaveLength(MOST_SAMPLES);
  expect(withSample(samples, [signals("a", 1)], MOST_SAMPLES)).toBe(samples);
  expect(seriesOf(samples, "a", "queued").at(-1)).toBe(MOST_SAMPLES + 4);
});

it("has a gap where nobody looked, and where the agent was not there", () => {
  const samples = withSample(
    withSample(withSample([], [signals("a", 1)], 0), [signals("b", 2)], 5),
    [signals("a", 3)],
    100,
  );
  expect(seriesOf(samples, "a", "queued")).toEqual([1, null, null, 3]);
});
