import { useNavigate, useSearch } from "@tanstack/react-router";
import { Suspense } from "react";
import { classes } from "../../components/classes";
import { JsonButton } from "../../components/JsonView";
import { lazyPart } from "../../components/lazyPart";
import { OutsideLink } from "../../components/OutsideLink";
import { PageHeader, Panel } from "../../components/PageHeader";
import { ErrorState, LoadingBlock } from "../../components/states";
import { Time } from "../../components/Time";
import { CHARTS, PLOT_HEIGHT } from "./charts";
import { Numbers } from "./Numbers";
import { ReducedOverview } from "./ReducedOverview";
import { DatabasePanel, InstancesPanel, ProcessesPanel, SyncPanel } from "./StatePanels";
import { type Overview, useOverview, type Window } from "./useOverview";

const HistoryPlots = lazyPart(() => import("./HistoryPlots"));

/** The server at a glance: what it does now, and did in the last hour or day. */
export default function OverviewPage() {
  const { window = "hour" } = useSearch({ strict: false }) as { window?: Window };
  const navigate = useNavigate();
  const { now, hour, history, isReduced } = useOverview(window);
  if (isReduced) return <ReducedOverview />;
  const overview = now.data;
  return (
    <>
      <PageHeader
        title="Overview"
        about={overview ? <About overview={overview} failed={now.isError} /> : <span className="invisible">Now</span>}
        actions={
          <>
            {overview && <OutsideLink href={overview.grafana_url}>Grafana</OutsideLink>}
            <JsonButton value={{ now: overview, history: history.data }} title="The overview, as the API gives it" />
          </>
        }
      />
      {now.isError && !overview ? (
        <Panel>
          <ErrorState error={now.error} onRetry={() => now.refetch()} />
        </Panel>
      ) : (
        <>
          <Unserved overview={overview} />
          <Numbers overview={overview} points={hour.data?.points} />
          <section aria-labelledby="history" className="mt-6">
            <header className="mb-2 flex items-center justify-between">
              <h2 id="history" className="font-semibold">
                {window === "day" ? "The last day" : "The last hour"}
              </h2>
              <WindowSwitch
                window={window}
                onChange={(next) => navigate({ to: "/overview", search: { window: next }, replace: true })}
              />
            </header>
            {history.isError && !history.data ? (
              <Panel>
                <ErrorState error={history.error} onRetry={() => history.refetch()} />
              </Panel>
            ) : (
              <Suspense fallback={<LoadingPlots />}>
                {history.data ? <HistoryPlots history={history.data} /> : <LoadingPlots />}
              </Suspense>
            )}
          </section>
          <div className="mt-6 grid gap-4 md:grid-cols-2 xl:grid-cols-4">
            <InstancesPanel overview={overview} />
            <SyncPanel overview={overview} />
            <DatabasePanel overview={overview} />
            <ProcessesPanel overview={overview} />
          </div>
        </>
      )}
    </>
  );
}

/** Panels of the size of the plots, so that nothing moves when these come. */
function LoadingPlots() {
  return (
    <div className="grid gap-4 lg:grid-cols-2">
      {CHARTS.map(({ title }) => (
        <Panel key={title} title={title}>
          <div className="px-2 pt-2 pb-1">
            <LoadingBlock height={PLOT_HEIGHT + 28} />
          </div>
        </Panel>
      ))}
    </div>
  );
}

function About({ overview, failed }: { overview: Overview; failed: boolean }) {
  return failed ? (
    <span role="alert" className="text-warn">
      The server does not answer. These are its numbers of <Time at={overview.at} />.
    </span>
  ) : (
    <>The whole server, of all organizations</>
  );
}

function Unserved({ overview }: { overview: Overview | undefined }) {
  const count = overview?.runs.unserved ?? 0;
  if (!count) return null;
  return (
    <p role="alert" className="mb-4 rounded-md bg-bad-wash px-3 py-2 text-bad">
      {`${count.toLocaleString("en")} ${count === 1 ? "run waits" : "runs wait"} for a graph that no living worker serves. Start a worker that has it in AGENTHALL_GRAPHS, or cancel them.`}
    </p>
  );
}

const WINDOWS: { id: Window; title: string }[] = [
  { id: "hour", title: "Hour" },
  { id: "day", title: "Day" },
];

function WindowSwitch({ window, onChange }: { window: Window; onChange: (window: Window) => void }) {
  return (
    <fieldset className="flex rounded-md border bg-surface p-0.5">
      <legend className="sr-only">Time of the plots</legend>
      {WINDOWS.map(({ id, title }) => (
        <button
          key={id}
          type="button"
          aria-pressed={id === window}
          onClick={() => onChange(id)}
          className={classes(
            "h-7 rounded px-3",
            id === window ? "bg-accent-wash font-medium text-accent" : "text-soft hover:text-ink",
          )}
        >
          {title}
        </button>
      ))}
    </fieldset>
  );
}
