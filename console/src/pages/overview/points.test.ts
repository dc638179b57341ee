import { describe, expect, it } from "vitest";
import {
  formatBytes,
  formatRate,
  type MetricsHistory,
  type MetricsPoint,
  perMinute,
  recentOf,
  stepsOf,
  valuesOf,
} from "./points";

const BEGIN = Date.parse("2026-01-01T00:00:00Z") / 1000;

function aPoint(minute: number, changed: Partial<MetricsPoint> = {}): MetricsPoint {
  return {
    at: new Date((BEGIN + minute * 60) * 1000).toISOString(),
    minutes: 1,
    runs_created: 0,
    runs_succeeded: 0,
    runs_failed: 0,
    runs_interrupted: 0,
    runs_cancelled: 0,
    run_seconds_p50: null,
    run_seconds_p95: null,
    wait_seconds_p50: null,
    wait_seconds_p95: null,
    runs_pending: 0,
    runs_running: 0,
    open_streams: 0,
    instances: {},
    jobs_queued: 0,
    jobs_running: 0,
    ...changed,
  };
}

const aHistory = (points: MetricsPoint[]): MetricsHistory => ({
  window: "hour",
  step_seconds: 60,
  from: "2026-01-01T00:00:00Z",
  until: "2026-01-01T01:00:00Z",
  points,
});

describe("the steps of a history", () => {
  it("have a gap where the server was off, and none between neighbours", () => {
    const steps = stepsOf(
      aHistory([aPoint(0, { runs_pending: 1 }), aPoint(1, { runs_pending: 2 }), aPoint(9, { runs_pending: 3 })]),
    );
    expect(valuesOf(steps, (point) => point.runs_pending)).toEqual([1, 2, null, 3]);
    expect(steps.times.map((time) => (time - BEGIN) / 60)).toEqual([0, 1, 2, 9]);
    expect(steps.span).toEqual([BEGIN, BEGIN + 3600]);
  });

  it("are none without points, and the span is still that of the window", () => {
    expect(stepsOf(aHistory([]))).toEqual({ times: [], points: [], span: [BEGIN, BEGIN + 3600] });
  });

  it("count by the minutes that they have", () => {
    const steps = stepsOf(aHistory([aPoint(0, { minutes: 4, runs_created: 8 }), aPoint(1, { minutes: 0 })]));
    expect(
      valuesOf(
        steps,
        perMinute((point) => point.runs_created),
      ),
    ).toEqual([2, null]);
  });
});

describe("the last minutes", () => {
  it("are the rate of the last five points, and the ends of all", () => {
    const points = Array.from({ length: 8 }, (_, minute) =>
      aPoint(minute, { runs_created: minute, runs_succeeded: 1 }),
    );
    points[2] = aPoint(2, { runs_failed: 2, run_seconds_p50: 1.5, run_seconds_p95: 9 });
    expect(recentOf(points)).toEqual({ perMinute: 5, failed: 2, ended: 9, p50: 1.5, p95: 9 });
  });

  it("are unknown without points", () => {
    expect(recentOf([])).toEqual({ perMinute: null, failed: 0, ended: 0, p50: null, p95: null });
  });
});

it.each([
  [0, "0"],
  [0.254, "0.25"],
  [3.46, "3.5"],
  [1234.5, "1,235"],
])("writes the rate %d as %s", (value, expected) => expect(formatRate(value)).toBe(expected));

it.each([
  [512, "512 B"],
  [8_800_000, "8.4 MB"],
  [17_179_869_184, "16 GB"],
])("writes %d bytes as %s", (bytes, expected) => expect(formatBytes(bytes)).toBe(expected));
