import { useNavigate, useSearch } from "@tanstack/react-router";
import { Boxes, SearchX } from "lucide-react";
import { type ReactNode, useCallback, useMemo } from "react";
import { may, useMe } from "../../api/me";
import { Button } from "../../components/Button";
import { classes } from "../../components/classes";
import { SelectField, TextField } from "../../components/Field";
import { JsonButton } from "../../components/JsonView";
import { PageHeader, Panel } from "../../components/PageHeader";
import { EmptyState, ErrorState, LoadingBlock } from "../../components/states";
import { Tabs } from "../../components/Tabs";
import { Brakes } from "./Brakes";
import { FILLS } from "./ConditionMark";
import { MOST_INSTANCES, type Snapshot } from "./fleetFeed";
import { countsOf, type Filters, groupsOf, matches, ordered, zoneOf } from "./groups";
import { CONDITIONS } from "./instances";
import { JobsPanel } from "./JobsPanel";
import { OPEN_UP_TO } from "./layout";
import { OrganizationForm } from "./OrganizationForm";
import { ScalingPanel } from "./ScalingPanel";
import { TileList } from "./TileList";
import { useFleet } from "./useFleet";

/** Every instance that has not ended, live, with the work and the capacity of agents beside it. */
export default function FleetPage() {
  const filters = useSearch({ strict: false }) as Filters;
  const navigate = useNavigate();
  const { snapshot, refresh } = useFleet();
  const me = useMe();
  const change = (changed: Partial<Filters>) =>
    navigate({ to: "/fleet", search: { ...filters, ...changed }, replace: true });
  const tabs = [
    { id: "instances", title: "Instances", content: <Instances {...{ snapshot, refresh, filters, change }} /> },
    ...(may(me.data, "jobs.search")
      ? [
          {
            id: "jobs",
            title: "Jobs",
            content: <JobsPanel agents={agentsOf(snapshot)} filters={filters} change={change} />,
          },
        ]
      : []),
    ...(may(me.data, "scaling.read") ? [{ id: "scaling", title: "Scaling", content: <ScalingPanel /> }] : []),
  ];

  return (
    <>
      <PageHeader
        title="Fleet"
        about={<Summary snapshot={snapshot} />}
        actions={<Raw snapshot={snapshot} filters={filters} />}
      />
      {snapshot.problem?.code === "organization_required" ? (
        <OrganizationForm message={snapshot.problem.message} />
      ) : (
        <>
          <Brakes />
          <Tabs
            label="Parts of the fleet"
            tabs={tabs}
            value={tabs.some(({ id }) => id === filters.tab) ? (filters.tab ?? "instances") : "instances"}
            onChange={(tab) => change({ tab: tab === "instances" ? undefined : (tab as Filters["tab"]) })}
          />
        </>
      )}
    </>
  );
}

function Instances({
  snapshot,
  refresh,
  filters,
  change,
}: {
  snapshot: Snapshot;
  refresh: () => void;
  filters: Filters;
  change: (changed: Partial<Filters>) => void;
}) {
  const groups = useMemo(() => groupsOf(snapshot.entries, filters), [snapshot.entries, filters]);
  const shown = groups.reduce((sum, { total }) => sum + total, 0);
  const openAtFirst = shown <= OPEN_UP_TO || groups.length === 1;
  const isOpen = useCallback(
    (agentId: string) => (filters.open ?? []).includes(agentId) !== openAtFirst,
    [filters.open, openAtFirst],
  );
  const toggle = (agentId: string) => {
    const others = (filters.open ?? []).filter((each) => each !== agentId);
    change({
      open: others.length === (filters.open ?? []).length ? [...others, agentId] : others.length ? others : undefined,
    });
  };

  if (snapshot.problem) {
    return (
      <Panel>
        <ErrorState error={snapshot.problem} onRetry={refresh} />
      </Panel>
    );
  }
  return (
    <>
      <FilterBar snapshot={snapshot} filters={filters} change={change} />
      {snapshot.capped && (
        <p className="mb-3 rounded-md bg-warn-wash px-3 py-2 text-warn">
          {`There are more than ${MOST_INSTANCES.toLocaleString("en")} instances. These are the first.`}
        </p>
      )}
      {shown > 0 ? (
        <TileList groups={groups} isOpen={isOpen} onToggle={toggle} />
      ) : !snapshot.complete ? (
        <LoadingBlock height={260} />
      ) : (
        <Nothing
          filters={filters}
          onClear={() => change({ q: undefined, agent: undefined, zone: undefined, state: undefined })}
        />
      )}
    </>
  );
}

const agentsOf = (snapshot: Snapshot) => [...new Set(snapshot.entries.map(({ instance }) => instance.agent_id))].sort();

function FilterBar({
  snapshot: { entries },
  filters,
  change,
}: {
  snapshot: Snapshot;
  filters: Filters;
  change: (changed: Partial<Filters>) => void;
}) {
  const agents = useMemo(
    () => sortedWith(new Set(entries.map(({ instance }) => instance.agent_id)), filters.agent),
    [entries, filters.agent],
  );
  const zones = useMemo(() => sortedWith(new Set(entries.map(zoneOf)), filters.zone), [entries, filters.zone]);
  const counts = useMemo(
    () => ordered(countsOf(entries.filter((each) => matches(each, { ...filters, state: undefined })))),
    [entries, filters],
  );
  const options = (ids: string[], all: string) => [
    { value: "", title: all },
    ...ids.map((id) => ({ value: id, title: id })),
  ];
  return (
    <search className="mb-3 grid grid-cols-2 gap-2 md:grid-cols-[minmax(0,20rem)_12rem_10rem_1fr]">
      <div className="max-md:col-span-2">
        <TextField
          label="Search instances"
          hideLabel
          type="search"
          placeholder="Name, version, tag or id"
          value={filters.q ?? ""}
          onChange={(event) => change({ q: event.target.value || undefined })}
        />
      </div>
      <SelectField
        label="Agent"
        hideLabel
        value={filters.agent ?? ""}
        onChange={(event) => change({ agent: event.target.value || undefined })}
        options={options(agents, "Every agent")}
      />
      <SelectField
        label="Zone"
        hideLabel
        value={filters.zone ?? ""}
        onChange={(event) => change({ zone: event.target.value || undefined })}
        options={options(zones, "Every zone")}
      />
      <fieldset className="flex min-h-8 flex-wrap items-center gap-1 max-md:col-span-2 md:justify-end">
        <legend className="sr-only">State</legend>
        {CONDITIONS.filter(({ id }) => id === filters.state || counts.some((each) => each.id === id)).map(
          ({ id, title, tone }) => (
            <button
              key={id}
              type="button"
              aria-pressed={filters.state === id}
              onClick={() => change({ state: filters.state === id ? undefined : id })}
              className={classes(
                "flex h-7 items-center gap-1.5 rounded-md border px-2 text-xs tabular-nums",
                filters.state === id
                  ? "border-accent bg-accent-wash text-accent"
                  : "bg-surface text-soft hover:text-ink",
              )}
            >
              <span className={classes("size-2 rounded-full", FILLS[tone])} aria-hidden />
              {title} {(counts.find((each) => each.id === id)?.count ?? 0).toLocaleString("en")}
            </button>
          ),
        )}
      </fieldset>
    </search>
  );
}

const sortedWith = (ids: Set<string>, chosen: string | undefined) => [...(chosen ? ids.add(chosen) : ids)].sort();

const CONNECTIONS: Record<Snapshot["connection"], [string, string]> = {
  connecting: ["Connecting", "bg-faint"],
  live: ["Live", "bg-good"],
  reconnecting: ["Reconnecting", "bg-warn"],
};

/** How many instances there are, and whether changes are heard. */
function Summary({ snapshot: { entries, complete, connection, problem } }: { snapshot: Snapshot }) {
  if (problem) return null;
  const [title, fill] = CONNECTIONS[connection];
  const agents = new Set(entries.map(({ instance }) => instance.agent_id)).size;
  const plural = (count: number, one: string) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
  return (
    <span className="flex flex-wrap items-center gap-x-3">
      <span className="tabular-nums">
        {`${plural(entries.length, "instance")} of ${plural(agents, "agent")}${complete ? "" : ", loading"}`}
      </span>
      <span role="status" className="inline-flex items-center gap-1.5 text-xs">
        <span className={classes("size-2 rounded-full", fill)} aria-hidden />
        {title}
      </span>
    </span>
  );
}

const RAW = 1_000;

function Raw({ snapshot, filters }: { snapshot: Snapshot; filters: Filters }) {
  const value = useMemo(
    () =>
      snapshot.entries
        .filter((each) => matches(each, filters))
        .slice(0, RAW)
        .map(({ instance }) => instance),
    [snapshot.entries, filters],
  );
  return <JsonButton value={value} title="Instances, as the API gives them" />;
}

function Nothing({ filters, onClear }: { filters: Filters; onClear: () => void }): ReactNode {
  if (filters.q || filters.agent || filters.zone || filters.state) {
    return (
      <EmptyState icon={SearchX} title="No instance matches">
        <Button onClick={onClear}>Clear the filters</Button>
      </EmptyState>
    );
  }
  return (
    <EmptyState icon={Boxes} title="No instances yet">
      <p>
        A process becomes an instance when it dials in: with <code className="font-mono text-xs">AgentInstance</code> of
        the client for Python or TypeScript, with SQL, or from a terminal:
      </p>
      <pre className="overflow-x-auto rounded-md bg-sunken p-2 text-left font-mono text-xs text-ink">
        agenthall agents register my-bot
      </pre>
      <p>It appears here at once.</p>
    </EmptyState>
  );
}
