/**
 * The geometry of a waterfall: one bar a span, on one axis of time.
 *
 * 1. A span stands below its parent, and spans of one parent by their begin.
 * 2. A span without an end reaches to now if it runs. If its end was not recorded it has no width.
 * 3. `left` and `width` are percentages of the axis.
 */
import type { Span } from "./timeline";

export interface Bar {
  span: Span;
  depth: number;
  left: number;
  width: number;
  /** Null: the end was not recorded. */
  seconds: number | null;
}

export interface Tick {
  /** A percentage of the axis. */
  at: number;
  seconds: number;
}

export interface Waterfall {
  bars: Bar[];
  ticks: Tick[];
  seconds: number;
}

const MIN_SECONDS = 0.001;

export function layOutWaterfall(spans: Span[], now: Date): Waterfall {
  if (!spans.length) return { bars: [], ticks: [], seconds: 0 };
  const begins = spans.map(beginOf);
  const start = Math.min(...begins);
  const end = Math.max(...begins, ...spans.map((span) => endOf(span, now) ?? start));
  const seconds = Math.max((end - start) / 1000, MIN_SECONDS);
  const percent = (time: number) => ((time - start) / 1000 / seconds) * 100;
  const bars = inOrder(spans).map(({ span, depth }): Bar => {
    const left = percent(beginOf(span));
    const until = endOf(span, now);
    if (until === null) return { span, depth, left, width: 0, seconds: null };
    return { span, depth, left, width: percent(until) - left, seconds: (until - beginOf(span)) / 1000 };
  });
  return { bars, ticks: ticksOf(seconds), seconds };
}

const beginOf = (span: Span) => Date.parse(span.started_at);

/** Never before the begin: the clocks of the browser and the database differ. */
function endOf(span: Span, now: Date): number | null {
  if (span.ended_at) return Math.max(Date.parse(span.ended_at), beginOf(span));
  return span.status === "running" ? Math.max(now.getTime(), beginOf(span)) : null;
}

type Placed = Pick<Bar, "span" | "depth">;

/** Parents before their children. A span whose parent is not there stands at the top. */
function inOrder(spans: Span[]): Placed[] {
  const ids = new Set(spans.map((span) => span.id));
  const parentOf = (span: Span) => (span.parent_id !== null && ids.has(span.parent_id) ? span.parent_id : null);
  const children = new Map<string | null, Span[]>();
  for (const span of spans) children.set(parentOf(span), [...(children.get(parentOf(span)) ?? []), span]);
  const walk = (parent: string | null, depth: number): Placed[] =>
    byBegin(children.get(parent) ?? []).flatMap((span) => [{ span, depth }, ...walk(span.id, depth + 1)]);
  return walk(null, 0);
}

/** Spans that begin together keep the order of the server. */
const byBegin = (spans: Span[]) => [...spans].sort((a, b) => beginOf(a) - beginOf(b));

const TICKS = 5;
const ROUND = [1, 2, 5, 10];

/** Marks at round numbers of seconds, from 0. */
export function ticksOf(seconds: number): Tick[] {
  if (seconds <= 0) return [];
  const rough = seconds / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = (ROUND.find((factor) => factor * power >= rough * 0.999) ?? 10) * power;
  const count = Math.floor(seconds / step + 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => ({
    at: ((index * step) / seconds) * 100,
    seconds: index * step,
  }));
}
