import { render, screen } from "@testing-library/react";
import { afterEach, describe, expect, it, vi } from "vitest";

interface Drawn {
  options: { series: { value: (plot: unknown, value: number | null) => string }[] };
  data: unknown;
  isDestroyed: boolean;
}
const plots = vi.hoisted(() => [] as Drawn[]);

// jsdom has no canvas, so the plot is what uPlot is asked to draw.
vi.mock("uplot", () => ({
  default: class {
    readonly record: Drawn;
    constructor(options: Drawn["options"], data: unknown) {
      this.record = { options, data, isDestroyed: false };
      plots.push(this.record);
    }
    setSize() {}
    setData(data: unknown) {
      this.record.data = data;
    }
    destroy() {
      this.record.isDestroyed = true;
    }
  },
}));

const { Plot } = await import("./Plot");
const TIMES = [60, 120];
const SERIES = [{ title: "Runs", values: [1, null], tone: "good" as const }];

afterEach(() => plots.splice(0));

describe("Plot", () => {
  it("draws the series over the times, and keeps gaps", () => {
    render(<Plot label="Runs per minute" times={TIMES} series={SERIES} />);
    expect(screen.getByRole("img", { name: "Runs per minute" })).toBeTruthy();
    expect(plots.map((plot) => plot.data)).toEqual([[TIMES, [1, null]]]);
  });

  it("writes values with the given format, and a dash for a gap", () => {
    render(<Plot label="Waits" times={TIMES} series={SERIES} format={(value) => `${value} s`} />);
    const write = plots[0]?.options.series[1]?.value;
    expect([write?.(null, 2), write?.(null, null)]).toEqual(["2 s", "–"]);
  });

  it("takes other values without another plot, draws anew for other series, and tidies up", () => {
    const { rerender, unmount } = render(<Plot label="Runs" times={TIMES} series={SERIES} />);
    rerender(<Plot label="Runs" times={[1, 2]} series={SERIES} format={String} />);
    expect(plots.map((plot) => plot.data)).toEqual([
      [
        [1, 2],
        [1, null],
      ],
    ]);
    rerender(<Plot label="Runs" times={[1, 2]} series={[{ title: "Failures", values: [0, 0], tone: "bad" }]} />);
    unmount();
    expect(plots.map((plot) => plot.isDestroyed)).toEqual([true, true]);
  });
});
