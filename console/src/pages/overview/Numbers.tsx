import type { ReactNode } from "react";
import { classes } from "../../components/classes";
import { formatDuration } from "../../components/Time";
import { formatRate, type MetricsPoint, recentOf } from "./points";
import type { Overview } from "./useOverview";

const none = "–";
const count = (value: number) => value.toLocaleString("en");
const duration = (value: number | null) => (value === null ? none : formatDuration(value));

/** The numbers that say whether all is well. Those of runs are of the last minutes. */
export function Numbers({ overview, points }: { overview: Overview | undefined; points: MetricsPoint[] | undefined }) {
  const recent = points && recentOf(points);
  const runs = overview?.runs;
  const failures = recent?.ended
    ? `${formatRate((100 * recent.failed) / recent.ended)} % of ${count(recent.ended)} ended`
    : "no run ended";
  return (
    <dl className="grid grid-cols-2 gap-px overflow-hidden rounded-lg border bg-line md:grid-cols-3 xl:grid-cols-6">
      <Figure name="Runs per minute" note="of the last 5 minutes">
        {recent && (recent.perMinute === null ? none : formatRate(recent.perMinute))}
      </Figure>
      <Figure name="Duration" note={recent && `p95 ${duration(recent.p95)}`}>
        {recent && duration(recent.p50)}
      </Figure>
      <Figure
        name="Waiting"
        note={runs && (runs.pending ? `the oldest ${duration(runs.oldest_pending_seconds)}` : "the queue is empty")}
      >
        {runs && count(runs.pending)}
      </Figure>
      <Figure
        name="Running"
        note={overview && `${count(overview.jobs.running)} jobs, ${count(overview.jobs.queued)} queued`}
      >
        {runs && count(runs.running)}
      </Figure>
      <Figure name="Failures" note={recent && failures} bad={Boolean(recent?.failed)}>
        {recent && count(recent.failed)}
      </Figure>
      <Figure name="Open streams" note="of all web processes">
        {overview && count(overview.open_streams)}
      </Figure>
    </dl>
  );
}

function Figure({
  name,
  note,
  bad = false,
  children,
}: {
  name: string;
  note: string | undefined;
  bad?: boolean;
  children: ReactNode;
}) {
  return (
    <div className="min-w-0 bg-surface px-4 py-3">
      <dt className="truncate text-soft">{name}</dt>
      <dd>
        <span
          className={classes(
            "block h-8 text-2xl leading-8 font-semibold tracking-tight tabular-nums",
            bad && "text-bad",
          )}
        >
          {children ?? (
            <span
              className="mt-1.5 block h-5 w-16 animate-pulse rounded bg-sunken"
              role="status"
              aria-label="Loading"
            />
          )}
        </span>
        <span className="block h-5 truncate text-xs text-faint tabular-nums" title={note}>
          {note}
        </span>
      </dd>
    </div>
  );
}
