import { useQuery, useQueryClient } from "@tanstack/react-query";
import { TrendingUp } from "lucide-react";
import { Suspense, useEffect, useState } from "react";
import { getJson } from "../../api/client";
import { classes } from "../../components/classes";
import { type Column, DataTable } from "../../components/DataTable";
import { lazyPart } from "../../components/lazyPart";
import { Panel } from "../../components/PageHeader";
import { EmptyState, ErrorState, LoadingBlock } from "../../components/states";
import { formatDuration } from "../../components/Time";
import { type Sample, type Signals, withSample } from "./scaling";

const ScalingPlots = lazyPart(() => import("./ScalingPlots"));

const PAGES = 10;
const SAMPLES = ["scaling", "samples"];
/** Samples outlive a look at another page. */
const KEPT = { enabled: false, staleTime: Number.POSITIVE_INFINITY, gcTime: 3_600_000 };

async function readSignals(): Promise<Signals[]> {
  const found: Signals[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < PAGES; page += 1) {
    const answer = await getJson<{ agents: Signals[]; next_cursor: string | null }>("/agents/scaling", {
      limit: 100,
      cursor,
    });
    found.push(...answer.agents);
    if (!answer.next_cursor) break;
    cursor = answer.next_cursor;
  }
  return found;
}

/** How much work agents have, and how many instances that calls for: now, and as long as somebody looks. */
export function ScalingPanel() {
  const queries = useQueryClient();
  const signals = useQuery({ queryKey: ["scaling"], queryFn: readSignals, refetchInterval: 5_000 });
  const samples = useQuery<Sample[]>({ queryKey: SAMPLES, queryFn: () => [], ...KEPT }).data ?? [];
  const [chosen, setChosen] = useState<string | null>(null);
  useEffect(() => {
    const { data, dataUpdatedAt } = signals;
    if (data) queries.setQueryData<Sample[]>(SAMPLES, (all = []) => withSample(all, data, dataUpdatedAt / 1000));
  }, [signals, queries]);
  const agents = signals.data ?? [];
  const shown =
    agents.find(({ agent_id }) => agent_id === chosen) ??
    agents.find(({ slots, queued }) => slots || queued) ??
    agents[0];

  if (signals.isError && !signals.data) {
    return (
      <Panel>
        <ErrorState error={signals.error} onRetry={() => signals.refetch()} />
      </Panel>
    );
  }
  return (
    <div className="space-y-4">
      <Panel>
        <DataTable
          label="Scaling signals"
          rows={agents}
          columns={columnsFor(shown?.agent_id, setChosen)}
          rowId={({ agent_id }) => agent_id}
          onOpen={({ agent_id }) => setChosen(agent_id)}
          loading={signals.isPending}
          height={420}
          empty={
            <EmptyState icon={TrendingUp} title="No agent takes jobs">
              <p>
                Agents whose instances register with slots are here: <code className="font-mono text-xs">slots=4</code>.
              </p>
            </EmptyState>
          }
        />
      </Panel>
      {shown && (
        <Suspense fallback={<LoadingBlock height={280} />}>
          <ScalingPlots agentId={shown.agent_id} samples={samples} />
        </Suspense>
      )}
    </div>
  );
}

function columnsFor(chosen: string | undefined, choose: (agentId: string) => void): Column<Signals>[] {
  const count = (id: keyof Signals, title: string, secondary = true): Column<Signals> => ({
    id,
    title,
    width: "5.5rem",
    align: "right",
    cell: (agent) => (agent[id] as number).toLocaleString("en"),
    sortBy: (agent) => agent[id],
    secondary,
  });
  return [
    {
      id: "agent",
      title: "Agent",
      width: "minmax(0, 2fr)",
      cell: ({ agent_id }) => (
        <button
          type="button"
          aria-pressed={agent_id === chosen}
          onClick={() => choose(agent_id)}
          className={classes("max-w-full truncate font-medium hover:text-accent", agent_id === chosen && "text-accent")}
        >
          {agent_id}
        </button>
      ),
      sortBy: ({ agent_id }) => agent_id,
    },
    count("queued", "Queued", false),
    {
      id: "oldest",
      title: "Oldest wait",
      width: "7rem",
      align: "right",
      cell: ({ queued, oldest_queued_seconds }) => (queued ? formatDuration(oldest_queued_seconds) : "–"),
      sortBy: ({ oldest_queued_seconds }) => oldest_queued_seconds,
      secondary: true,
    },
    count("in_flight", "In flight"),
    { id: "used", title: "Used", width: "8rem", cell: Used, sortBy: ({ utilisation }) => utilisation, secondary: true },
    count("slots", "Slots"),
    count("ejected", "Ejected"),
    count("instances", "Instances", false),
    count("desired_instances", "Desired", false),
  ];
}

/** The used part of the slots. */
function Used({ utilisation }: Signals) {
  const percent = Math.round(100 * utilisation);
  return (
    <span className="flex items-center gap-2 tabular-nums">
      <span className="h-1.5 w-14 shrink-0 overflow-hidden rounded-full bg-sunken" aria-hidden>
        <span
          className={classes("block h-full", utilisation > 0.8 ? "bg-warn" : "bg-accent")}
          style={{ width: `${Math.min(100, percent)}%` }}
        />
      </span>
      {percent} %
    </span>
  );
}
