import { useMemo } from "react";
import { Panel } from "../../components/PageHeader";
import { Plot } from "../../components/Plot";
import { CHARTS, type Chart, PLOT_HEIGHT } from "./charts";
import { type MetricsHistory, type Steps, stepsOf, valuesOf } from "./points";

/** The plots of one window, side by side, with one cursor. */
export default function HistoryPlots({ history }: { history: MetricsHistory }) {
  const steps = useMemo(() => stepsOf(history), [history]);
  return (
    <>
      <div className="grid gap-4 lg:grid-cols-2">
        {CHARTS.map((chart) => (
          <ChartPanel key={chart.title} chart={chart} steps={steps} window={history.window} />
        ))}
      </div>
      <p className="mt-2 text-xs text-faint">
        {steps.times.length
          ? "The newest point is one to two minutes old. Where a line has a gap, the server was off."
          : "No point yet: the first one comes within two minutes after the start of the server."}
      </p>
    </>
  );
}

function ChartPanel({
  chart: { title, lines, format, whole },
  steps,
  window,
}: {
  chart: Chart;
  steps: Steps;
  window: string;
}) {
  const series = useMemo(
    () => lines.map(({ pick, ...line }) => ({ ...line, values: valuesOf(steps, pick) })),
    [lines, steps],
  );
  return (
    <Panel title={title}>
      <div className="px-2 pt-2 pb-1">
        <Plot
          times={steps.times}
          series={series}
          span={steps.span}
          height={PLOT_HEIGHT}
          label={`${title} in the last ${window}: ${series.map((each) => `${each.title} ${lastOf(each.values, format)}`).join(", ")}`}
          sync="overview"
          {...(format ? { format } : {})}
          whole={whole ?? false}
        />
      </div>
    </Panel>
  );
}

/** The newest value, for readers who do not see the plot. */
function lastOf(values: (number | null)[], format: (value: number) => string = (value) => value.toLocaleString("en")) {
  const value = values.findLast((each) => each !== null);
  return value === null || value === undefined ? "unknown" : `${format(value)} at last`;
}
