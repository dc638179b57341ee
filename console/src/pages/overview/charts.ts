import type { Series } from "../../components/Plot";
import { formatDuration } from "../../components/Time";
import { formatRate, type MetricsPoint, type Pick, perMinute } from "./points";

/** Pixels, without the legend. */
export const PLOT_HEIGHT = 150;

interface Line {
  title: string;
  pick: Pick;
  tone?: Series["tone"];
  fill?: boolean;
}

export interface Chart {
  title: string;
  lines: Line[];
  format?: (value: number) => string;
  whole?: boolean;
}

const others = (point: MetricsPoint) =>
  Object.entries(point.instances).reduce((sum, [state, count]) => (state === "healthy" ? sum : sum + count), 0);

export const CHARTS: Chart[] = [
  {
    title: "Runs per minute",
    lines: [
      { title: "Created", pick: perMinute((point) => point.runs_created), fill: true },
      { title: "Succeeded", pick: perMinute((point) => point.runs_succeeded), tone: "good" },
      { title: "Failed", pick: perMinute((point) => point.runs_failed), tone: "bad" },
    ],
    format: formatRate,
  },
  {
    title: "Queue",
    lines: [
      { title: "Waiting", pick: (point) => point.runs_pending, tone: "warn", fill: true },
      { title: "Running", pick: (point) => point.runs_running },
    ],
    whole: true,
  },
  {
    title: "Duration of runs",
    lines: [
      { title: "p50", pick: (point) => point.run_seconds_p50 },
      { title: "p95", pick: (point) => point.run_seconds_p95, tone: "warn" },
    ],
    format: formatDuration,
  },
  {
    title: "Wait before the start",
    lines: [
      { title: "p50", pick: (point) => point.wait_seconds_p50 },
      { title: "p95", pick: (point) => point.wait_seconds_p95, tone: "warn" },
    ],
    format: formatDuration,
  },
  {
    title: "Instances",
    lines: [
      { title: "Healthy", pick: (point) => point.instances.healthy ?? 0, tone: "good", fill: true },
      { title: "Others", pick: others, tone: "bad" },
    ],
    whole: true,
  },
  {
    title: "Streams and jobs",
    lines: [
      { title: "Open streams", pick: (point) => point.open_streams },
      { title: "Jobs running", pick: (point) => point.jobs_running, tone: "good" },
      { title: "Jobs queued", pick: (point) => point.jobs_queued, tone: "warn" },
    ],
    whole: true,
  },
];
