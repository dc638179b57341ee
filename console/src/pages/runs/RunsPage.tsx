import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Activity, SearchX } from "lucide-react";
import { useState } from "react";
import { Badge } from "../../components/Badge";
import { Button } from "../../components/Button";
import { type Column, DataTable } from "../../components/DataTable";
import { JsonButton } from "../../components/JsonView";
import { PageHeader, Panel } from "../../components/PageHeader";
import { EmptyState, ErrorState } from "../../components/states";
import { formatDuration, Time } from "../../components/Time";
import { FilterBar } from "./FilterBar";
import type { Filters } from "./filters";
import { LiveSwitch } from "./LiveSwitch";
import { type ListedRun, TONES } from "./run";
import { useRuns } from "./useRuns";

const COLUMNS: Column<ListedRun>[] = [
  {
    id: "status",
    title: "Status",
    width: "6.5rem",
    cell: (run) => <Badge tone={TONES[run.status]}>{run.status}</Badge>,
  },
  { id: "agent", title: "Agent", width: "minmax(0, 2fr)", cell: RunLink },
  {
    id: "error",
    title: "Error",
    width: "minmax(0, 2fr)",
    cell: (run) => run.error && <span title={run.error.message}>{`${run.error.type}: ${run.error.message}`}</span>,
    secondary: true,
  },
  { id: "thread", title: "Thread", width: "6.5rem", cell: ThreadLink, secondary: true },
  {
    id: "attempts",
    title: "Attempts",
    width: "5rem",
    align: "right",
    cell: (run) => run.attempts,
    secondary: true,
  },
  {
    id: "wait",
    title: "Waited",
    width: "5rem",
    align: "right",
    cell: (run) => formatDuration(run.wait_seconds),
    secondary: true,
  },
  {
    id: "ran",
    title: "Ran",
    width: "5rem",
    align: "right",
    cell: (run) => (run.run_seconds === null ? <span className="text-faint">–</span> : formatDuration(run.run_seconds)),
    secondary: true,
  },
  { id: "created", title: "Created", width: "6.5rem", align: "right", cell: (run) => <Time at={run.created_at} /> },
];

/** The runs of all threads, newest first. */
export default function RunsPage() {
  const filters = useSearch({ strict: false }) as Filters;
  const navigate = useNavigate();
  const [isLive, setLive] = useState(true);
  const list = useRuns(filters, isLive);
  const runs = list.data?.pages.flatMap((page) => page.runs) ?? [];
  const isWhole = (list.data?.pages.length ?? 1) === 1;
  const change = (changed: Partial<Filters>) =>
    navigate({ to: "/runs", search: { ...filters, ...changed }, replace: true });
  const open = (run: ListedRun) =>
    run.thread_id && navigate({ to: "/runs/$threadId/$runId", params: { threadId: run.thread_id, runId: run.run_id } });

  return (
    <>
      <PageHeader
        title="Runs"
        about="Newest first"
        actions={
          <>
            <LiveSwitch isOn={isLive && isWhole} isPossible={isWhole} onChange={setLive} />
            <JsonButton value={runs} title="Runs, as the API gives them" />
          </>
        }
      />
      <FilterBar filters={filters} onChange={change} />
      <Panel>
        {list.isError && !list.data ? (
          <ErrorState error={list.error} onRetry={() => list.refetch()} />
        ) : (
          <DataTable
            label="Runs"
            rows={runs}
            columns={COLUMNS}
            rowId={(run) => run.run_id}
            onOpen={open}
            loading={list.isPending}
            empty={<NoRuns filters={filters} onClear={() => navigate({ to: "/runs", search: {} })} />}
          />
        )}
      </Panel>
      {list.hasNextPage && (
        <div className="mt-3 text-center">
          <Button onClick={() => list.fetchNextPage()} disabled={list.isFetchingNextPage}>
            {list.isFetchingNextPage ? "Loading" : "Load older runs"}
          </Button>
        </div>
      )}
    </>
  );
}

function RunLink(run: ListedRun) {
  const name = run.assistant_name ?? run.graph_id;
  if (!run.thread_id) return <span className="font-medium">{name}</span>;
  return (
    <Link
      to="/runs/$threadId/$runId"
      params={{ threadId: run.thread_id, runId: run.run_id }}
      className="block truncate font-medium hover:text-accent hover:underline"
    >
      {name}
    </Link>
  );
}

function ThreadLink(run: ListedRun) {
  if (!run.thread_id) return <span className="text-faint">–</span>;
  return (
    <Link
      to="/runs"
      search={{ thread: run.thread_id }}
      title={`Runs of thread ${run.thread_id}`}
      className="font-mono text-xs text-soft hover:text-accent hover:underline"
    >
      …{run.thread_id.slice(-8)}
    </Link>
  );
}

function NoRuns({ filters, onClear }: { filters: Filters; onClear: () => void }) {
  if (Object.keys(filters).length) {
    return (
      <EmptyState icon={SearchX} title="No run matches">
        <Button onClick={onClear}>Clear the filters</Button>
      </EmptyState>
    );
  }
  return (
    <EmptyState icon={Activity} title="No runs yet">
      <p>Chat with an agent, or create a run with the LangGraph SDK. It appears here at once.</p>
      <Link to="/agents" className="text-accent underline">
        Choose an agent
      </Link>
    </EmptyState>
  );
}
