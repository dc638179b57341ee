import "uplot/dist/uPlot.min.css";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { useTheme } from "../app/theme";

export interface Series {
  title: string;
  values: (number | null)[];
  tone?: "accent" | "good" | "warn" | "bad" | "faint";
}

/** Lines over time. `times` are seconds since 1970; `format` writes a value of the axis and of the legend. */
export function Plot({
  times,
  series,
  height = 160,
  label,
  format = (value) => value.toLocaleString("en"),
}: {
  times: number[];
  series: Series[];
  height?: number;
  label: string;
  format?: (value: number) => string;
}) {
  const place = useRef<HTMLDivElement>(null);
  const theme = useTheme();
  const writer = useRef(format);
  writer.current = format;
  // biome-ignore lint/correctness/useExhaustiveDependencies: `theme` changes the colours that are read from the page
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const plot = new uPlot(
      optionsFor(element, series, height, (value) => writer.current(value)),
      [times, ...series.map((each) => each.values)],
      element,
    );
    const observer = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [times, series, height, theme]);
  return (
    <div ref={place} role="img" aria-label={label} className="min-w-0 text-xs" style={{ minHeight: height + 28 }} />
  );
}

function optionsFor(
  element: HTMLElement,
  series: Series[],
  height: number,
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
    cursor: { points: { size: 6 } },
    legend: { live: true },
    axes: [
      axis,
      { ...axis, size: 56, values: (_, values) => values.map((each) => (each === null ? "" : format(each))) },
    ],
    series: [
      {},
      ...series.map((each) => ({
        label: each.title,
        stroke: color(each.tone ?? "accent"),
        width: 1.5,
        points: { show: false },
        value: (_: uPlot, value: number | null) => (value === null ? "–" : format(value)),
      })),
    ],
  };
}
