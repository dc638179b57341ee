import { describe, expect, it } from "vitest";
import type { Span } from "./timeline";
import { layOutWaterfall, ticksOf } from "./waterfall";

const at = (seconds: number) => new Date(1_000_000_000_000 + seconds * 1000).toISOString();
const now = new Date(at(20));

function span(id: string, from: number, until: number | null, more: Partial<Span> = {}): Span {
  return {
    id,
    parent_id: null,
    kind: "node",
    name: id,
    started_at: at(from),
    ended_at: until === null ? null : at(until),
    status: "success",
    detail: {},
    ...more,
  };
}

describe("layOutWaterfall", () => {
  it("puts spans on one axis, from the first begin to the last end", () => {
    const { bars, seconds } = layOutWaterfall([span("queue", 0, 2), span("attempt", 2, 10)], now);
    expect(seconds).toBe(10);
    expect(bars.map(({ left, width }) => [left, width])).toEqual([
      [0, 20],
      [20, 80],
    ]);
  });

  it("puts children below their parent, by their begin", () => {
    const spans = [
      span("b", 4, 5, { parent_id: "attempt" }),
      span("attempt", 2, 10),
      span("call", 3, 4, { parent_id: "a" }),
      span("a", 3, 4, { parent_id: "attempt" }),
      span("queue", 0, 2),
    ];
    const { bars } = layOutWaterfall(spans, now);
    expect(bars.map((bar) => `${bar.span.id}${bar.depth}`)).toEqual(["queue0", "attempt0", "a1", "call2", "b1"]);
  });

  it("lets a span that runs reach to now", () => {
    const { bars, seconds } = layOutWaterfall([span("attempt", 0, null, { status: "running" })], now);
    expect(seconds).toBe(20);
    expect(bars[0]).toMatchObject({ left: 0, width: 100, seconds: 20 });
  });

  it("takes no time for a span that runs from a clock ahead of this one", () => {
    const { bars } = layOutWaterfall([span("queue", 30, null, { status: "running" })], now);
    expect(bars[0]).toMatchObject({ left: 0, width: 0, seconds: 0 });
  });

  it("gives a span whose end was not recorded no width", () => {
    const { bars } = layOutWaterfall([span("queue", 0, 4), span("lost", 2, null, { status: "error" })], now);
    expect(bars[1]).toMatchObject({ left: 50, width: 0, seconds: null });
  });

  it("shows a span whose parent is missing, and nothing for none", () => {
    expect(layOutWaterfall([span("a", 0, 1, { parent_id: "gone" })], now).bars).toHaveLength(1);
    expect(layOutWaterfall([], now)).toEqual({ bars: [], ticks: [], seconds: 0 });
  });
});

it("marks the axis at round numbers", () => {
  expect(ticksOf(10).map(({ seconds }) => seconds)).toEqual([0, 2, 4, 6, 8, 10]);
  expect(ticksOf(0.9).map((tick) => Math.round(tick.at))).toEqual([0, 22, 44, 67, 89]);
  expect(ticksOf(0)).toEqual([]);
});
