import type { components } from "../../api/schema";

type Schema = components["schemas"]["MetricsPoint"];

/** A step of the history: counts over the whole step, and the other values at its end. `instances`: by their health. */
export type MetricsPoint = Omit<Schema, "instances"> & { instances: Record<string, number> };

export interface MetricsHistory {
  window: "hour" | "day";
  step_seconds: number;
  from: string;
  until: string;
  points: MetricsPoint[];
}

export type Pick = (point: MetricsPoint) => number | null;

export interface Steps {
  /** Seconds since 1970. */
  times: number[];
  /** Null: the server was off. */
  points: (MetricsPoint | null)[];
  span: [number, number];
}

const seconds = (at: string) => Date.parse(at) / 1000;

/** The points with a gap wherever steps have none, because the server was off. */
export function stepsOf({ step_seconds, from, until, points }: MetricsHistory): Steps {
  const times: number[] = [];
  const found: (MetricsPoint | null)[] = [];
  for (const point of points) {
    const at = seconds(point.at);
    const last = times.at(-1);
    if (last !== undefined && at - last > step_seconds * 1.5) {
      times.push(last + step_seconds);
      found.push(null);
    }
    times.push(at);
    found.push(point);
  }
  return { times, points: found, span: [seconds(from), seconds(until)] };
}

export const valuesOf = ({ points }: Steps, pick: Pick) => points.map((point) => (point ? pick(point) : null));

/** A count of a step as one of a minute. A step of a quarter of an hour may have been cut short. */
export const perMinute =
  (pick: (point: MetricsPoint) => number): Pick =>
  (point) =>
    point.minutes ? pick(point) / point.minutes : null;

export interface Recent {
  perMinute: number | null;
  failed: number;
  ended: number;
  p50: number | null;
  p95: number | null;
}

/** Minutes that "now" is made of. */
const RECENT = 5;

/** The last minutes in numbers. Durations are those of the last step in which runs ended. */
export function recentOf(points: MetricsPoint[]): Recent {
  const last = points.slice(-RECENT);
  const sum = (of: MetricsPoint[], pick: (point: MetricsPoint) => number) =>
    of.reduce((all, each) => all + pick(each), 0);
  const minutes = sum(last, (point) => point.minutes);
  const timed = points.findLast((point) => point.run_seconds_p50 !== null);
  const failed = sum(points, (point) => point.runs_failed);
  return {
    perMinute: minutes ? sum(last, (point) => point.runs_created) / minutes : null,
    failed,
    ended: failed + sum(points, (point) => point.runs_succeeded + point.runs_interrupted + point.runs_cancelled),
    p50: timed?.run_seconds_p50 ?? null,
    p95: timed?.run_seconds_p95 ?? null,
  };
}

/** 0.25, 3.5, 120. */
export function formatRate(value: number): string {
  return value.toLocaleString("en", { maximumFractionDigits: value < 1 ? 2 : value < 10 ? 1 : 0 });
}

/** 512 B, 8.4 MB, 1.2 GB, as PostgreSQL counts them. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toLocaleString("en", { maximumFractionDigits: value < 10 && unit ? 1 : 0 })} ${units[unit]}`;
}
