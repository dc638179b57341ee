import type { Assistant } from "@langchain/langgraph-sdk";
import { Link, useNavigate } from "@tanstack/react-router";
import { Bot, SearchX } from "lucide-react";
import { type ReactNode, useMemo } from "react";
import { Button } from "../../components/Button";
import { CopyButton } from "../../components/CopyButton";
import { type Column, DataTable } from "../../components/DataTable";
import { SelectField, TextField } from "../../components/Field";
import { JsonButton } from "../../components/JsonView";
import { LoadMore } from "../../components/LoadMore";
import { PageHeader, Panel } from "../../components/PageHeader";
import { EmptyState, ErrorState } from "../../components/states";
import { Time } from "../../components/Time";
import type { Filters } from "./filters";
import { SourceBadge } from "./SourceBadge";
import { SOURCES, sourceOf } from "./source";
import { useAgents } from "./useAgents";

const COLUMNS: Column<Assistant>[] = [
  { id: "name", title: "Name", width: "minmax(0, 2fr)", cell: Name, sortBy: (agent) => agent.name.toLowerCase() },
  {
    id: "description",
    title: "Description",
    width: "minmax(0, 3fr)",
    cell: (agent) => <span className="text-soft">{agent.description}</span>,
    secondary: true,
  },
  { id: "source", title: "Source", width: "7.5rem", cell: SourceBadge, sortBy: sourceOf },
  {
    id: "graph",
    title: "Graph",
    width: "8rem",
    cell: (agent) => <code className="font-mono text-xs">{agent.graph_id}</code>,
    sortBy: (agent) => agent.graph_id,
    secondary: true,
  },
  {
    id: "version",
    title: "Version",
    width: "5rem",
    align: "right",
    cell: (agent) => agent.version,
    sortBy: (agent) => agent.version,
    secondary: true,
  },
  {
    id: "updated",
    title: "Updated",
    width: "7rem",
    align: "right",
    cell: (agent) => <Time at={agent.updated_at} />,
    sortBy: (agent) => agent.updated_at,
    secondary: true,
  },
  {
    id: "id",
    title: "Id",
    width: "2.5rem",
    align: "right",
    cell: (agent) => <CopyButton text={agent.assistant_id} label={`Copy the id of ${agent.name}`} />,
  },
];

/** All assistants that the caller may see, whatever made them. */
export function AgentList({ filters, switcher }: { filters: Filters; switcher: ReactNode }) {
  const navigate = useNavigate();
  const { list, count } = useAgents(filters);
  const loaded = useMemo(() => list.data?.pages.flat() ?? [], [list.data]);
  const shown = useMemo(
    () => loaded.filter((agent) => !filters.source || sourceOf(agent) === filters.source),
    [loaded, filters.source],
  );
  const change = (changed: Partial<Filters>) =>
    navigate({ to: "/agents", search: { ...filters, ...changed }, replace: true });

  return (
    <>
      <PageHeader
        title="Agents"
        about={<Summary shown={shown.length} loaded={loaded.length} total={count.data} filters={filters} />}
        actions={<JsonButton value={shown} title="Assistants, as the API gives them" />}
      />
      {switcher}
      <FilterBar filters={filters} agents={loaded} onChange={change} />
      <Panel>
        {list.isError ? (
          <ErrorState error={list.error} onRetry={() => list.refetch()} />
        ) : (
          <DataTable
            label="Agents"
            rows={shown}
            columns={COLUMNS}
            rowId={(agent) => agent.assistant_id}
            loading={list.isPending}
            onOpen={(agent) => navigate({ to: "/agents/$assistantId", params: { assistantId: agent.assistant_id } })}
            empty={<NoAgents filters={filters} onClear={() => navigate({ to: "/agents", search: {} })} />}
          />
        )}
      </Panel>
      <LoadMore list={list} />
    </>
  );
}

function Name(agent: Assistant) {
  return (
    <Link
      to="/agents/$assistantId"
      params={{ assistantId: agent.assistant_id }}
      className="block truncate font-medium hover:text-accent hover:underline"
    >
      {agent.name}
    </Link>
  );
}

/** How many there are, and whether more are to be loaded: the filter for the source sees loaded rows alone. */
function Summary({
  shown,
  loaded,
  total,
  filters,
}: {
  shown: number;
  loaded: number;
  total: number | undefined;
  filters: Filters;
}) {
  if (total === undefined) return <span className="invisible">0 agents</span>;
  const number = (value: number) => value.toLocaleString("en");
  const found = filters.source ? `${number(shown)} of ${number(loaded)}` : number(total);
  const rest = loaded < total ? `, ${number(loaded)} of ${number(total)} loaded` : "";
  return <span aria-live="polite">{`${found} ${total === 1 ? "agent" : "agents"}${rest}`}</span>;
}

function FilterBar({
  filters,
  agents,
  onChange,
}: {
  filters: Filters;
  agents: Assistant[];
  onChange: (changed: Partial<Filters>) => void;
}) {
  const graphs = [...new Set([...agents.map((agent) => agent.graph_id), ...(filters.graph ? [filters.graph] : [])])];
  return (
    <search className="mb-3 grid grid-cols-2 gap-2 md:grid-cols-[minmax(0,20rem)_11rem_11rem]">
      <div className="max-md:col-span-2">
        <TextField
          label="Search by name"
          hideLabel
          type="search"
          placeholder="Search by name"
          value={filters.q ?? ""}
          onChange={(event) => onChange({ q: event.target.value || undefined })}
        />
      </div>
      <SelectField
        label="Source"
        hideLabel
        value={filters.source ?? ""}
        onChange={(event) => onChange({ source: (event.target.value || undefined) as Filters["source"] })}
        options={[{ value: "", title: "Every source" }, ...SOURCES.map(({ id, title }) => ({ value: id, title }))]}
      />
      <SelectField
        label="Graph"
        hideLabel
        value={filters.graph ?? ""}
        onChange={(event) => onChange({ graph: event.target.value || undefined })}
        options={[{ value: "", title: "Every graph" }, ...graphs.sort().map((id) => ({ value: id, title: id }))]}
      />
    </search>
  );
}

function NoAgents({ filters, onClear }: { filters: Filters; onClear: () => void }) {
  if (filters.q || filters.source || filters.graph) {
    return (
      <EmptyState icon={SearchX} title="No agent matches">
        <Button onClick={onClear}>Clear the filters</Button>
      </EmptyState>
    );
  }
  return (
    <EmptyState icon={Bot} title="No agents yet">
      <p>
        Add a row to the catalogue and set <code className="font-mono text-xs">AGENT_SYNC_SCOPE=all</code>, or create an
        assistant with the LangGraph SDK.
      </p>
    </EmptyState>
  );
}
