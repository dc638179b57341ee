import "uplot/dist/uPlot.min.css";
import "./plot.css";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { useTheme } from "../app/theme";

export interface Series {
  title: string;
  values: (number | null)[];
  tone?: "accent" | "good" | "warn" | "bad" | "faint";
  /** Colours the area below the line. */
  fill?: boolean;
}

/**
 * Lines over time. `times` are seconds since 1970; `format` writes a value of the axis and of the legend. A null is a
 * gap; a value between two gaps is a point. `span` fixes the first and the last time; plots of one `sync` share their
 * cursor. `whole`: the values are whole numbers.
 */
export function Plot({
  times,
  series,
  height = 160,
  label,
  format = (value) => value.toLocaleString("en"),
  span,
  sync,
  whole = false,
}: {
  times: number[];
  series: Series[];
  height?: number;
  label: string;
  format?: (value: number) => string;
  span?: [number, number];
  sync?: string;
  whole?: boolean;
}) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const theme = useTheme();
  const latest = useRef({ times, series, span, format });
  latest.current = { times, series, span, format };
  // Another structure, or other colours, are another plot; other values are not.
  const structure = JSON.stringify([
    series.map(({ title, tone, fill }) => [title, tone, fill]),
    theme,
    height,
    sync,
    whole,
  ]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `structure` names what the options are made of
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const { times, series } = latest.current;
    const made = new uPlot(
      optionsFor(
        element,
        series,
        { height, sync, whole },
        () => latest.current.span,
        (value) => latest.current.format(value),
      ),
      [times, ...series.map((each) => each.values)],
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.current = null;
      made.destroy();
    };
  }, [structure]);

  useEffect(() => {
    plot.current?.setData([times, ...series.map((each) => each.values)]);
  }, [times, series]);

  return (
    <div ref={place} role="img" aria-label={label} className="min-w-0 text-xs" style={{ minHeight: height + 28 }} />
  );
}

function optionsFor(
  element: HTMLElement,
  series: Series[],
  { height, sync, whole }: { height: number; sync?: string; whole: boolean },
  span: () => [number, number] | undefined,
  format: (value: number) => string,
): uPlot.Options {
  const style = getComputedStyle(element);
  const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const axis = {
    stroke: color("faint"),
    grid: { stroke: color("line"), width: 1 },
    ticks: { show: false },
    font: "11px system-ui",
  };
  return {
    width: element.clientWidth || 320,
    height,
    cursor: { points: { size: 6 }, drag: { x: false, y: false }, ...(sync ? { sync: { key: sync } } : {}) },
    legend: { live: true },
    scales: {
      x: { range: (_, first, last) => span() ?? [first ?? 0, last ?? 1] },
      y: { range: (_, least, most) => [Math.min(0, least ?? 0), roundUp(most ?? 1)] },
    },
    axes: [
      { ...axis, size: 32, values: "{HH}:{mm}", space: 64 },
      {
        ...axis,
        size: 58,
        space: 32,
        ...(whole ? { incrs: WHOLE } : {}),
        values: (_, values) => values.map((each) => (each === null ? "" : format(each))),
      },
    ],
    series: [
      { value: "{HH}:{mm}:{ss}" },
      ...series.map((each) => ({
        label: each.title,
        stroke: color(each.tone ?? "accent"),
        width: 1.5,
        fill: each.fill ? color(`${each.tone ?? "accent"}-wash`) : undefined,
        points: { show: true, size: 4, filter: (made: uPlot, index: number) => alone(made.data[index] ?? []) },
        value: (_: uPlot, value: number | null) => (value === null ? "–" : format(value)),
      })),
    ],
  };
}

/** 1, 2, 5, 10, 20, 50 and so on. */
const WHOLE = Array.from(
  { length: 30 },
  (_, index) => (index % 3 === 0 ? 1 : index % 3 === 1 ? 2 : 5) * 10 ** Math.floor(index / 3),
);

/** Room above the highest value, also where all values are 0. */
const roundUp = (most: number) => (most > 0 ? most * 1.1 : 1);

/** The places of values between two gaps, which a line does not show. */
function alone(values: ArrayLike<number | null | undefined>): number[] {
  const found: number[] = [];
  for (let index = 0; index < values.length; index += 1) {
    if (values[index] != null && values[index - 1] == null && values[index + 1] == null) found.push(index);
  }
  return found;
}
