import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { MessagesSquare, Plus, SearchX } from "lucide-react";
import { useMemo } from "react";
import { may, useMe } from "../../api/me";
import { Badge } from "../../components/Badge";
import { Button } from "../../components/Button";
import { CopyButton } from "../../components/CopyButton";
import { type Column, DataTable } from "../../components/DataTable";
import { SelectField, TextField } from "../../components/Field";
import { JsonButton } from "../../components/JsonView";
import { LoadMore } from "../../components/LoadMore";
import { PageHeader, Panel } from "../../components/PageHeader";
import { EmptyState, ErrorState } from "../../components/states";
import { Time } from "../../components/Time";
import { type Filters, STATUSES } from "./filters";
import { STATUS_TONES } from "./status";
import { textOf } from "./thread/content";
import { type AgentName, useAgentNames } from "./useAgentNames";
import { type ListedThread, useThreads } from "./useThreads";

/** All threads that the caller may see, the last changed first. */
export default function ConversationsPage() {
  const filters = useSearch({ strict: false }) as Filters;
  const navigate = useNavigate();
  const me = useMe();
  const agents = useAgentNames();
  const { list, count, asks } = useThreads(filters);
  const threads = useMemo(() => list.data?.pages.flat() ?? [], [list.data]);
  const columns = useMemo(() => columnsFor(agents.data ?? []), [agents.data]);
  const change = (changed: Partial<Filters>) =>
    navigate({ to: "/conversations", search: { ...filters, ...changed }, replace: true });
  const canStart = may(me.data, "threads.create");

  return (
    <>
      <PageHeader
        title="Conversations"
        about={<Summary loaded={threads.length} total={count.data} />}
        actions={
          <>
            <JsonButton value={threads} title="Threads, as the API gives them" />
            {canStart && <NewConversation />}
          </>
        }
      />
      <FilterBar filters={filters} asks={asks} agents={agents.data ?? []} onChange={change} />
      <Panel>
        {list.isError ? (
          <ErrorState error={list.error} onRetry={() => list.refetch()} />
        ) : (
          <DataTable
            label="Conversations"
            rows={threads}
            columns={columns}
            rowId={(thread) => thread.thread_id}
            onOpen={(thread) =>
              navigate({ to: "/conversations/$threadId", params: { threadId: thread.thread_id } } as never)
            }
            loading={list.isPending && asks}
            empty={<NoThreads filters={filters} onClear={() => navigate({ to: "/conversations", search: {} })} />}
          />
        )}
      </Panel>
      <LoadMore list={list} />
    </>
  );
}

function NewConversation() {
  return (
    <Link
      to="/conversations/new"
      className="inline-flex h-8 items-center gap-1.5 rounded-md bg-accent px-3 font-medium text-accent-ink hover:brightness-110"
    >
      <Plus size={15} aria-hidden />
      New conversation
    </Link>
  );
}

function columnsFor(agents: AgentName[]): Column<ListedThread>[] {
  const names = new Map(agents.map((agent) => [agent.assistant_id, agent.name]));
  return [
    { id: "conversation", title: "Conversation", width: "minmax(0, 3fr)", cell: Subject },
    {
      id: "answer",
      title: "Last message",
      width: "minmax(0, 3fr)",
      cell: (thread) => <span className="text-soft">{textOf(thread.extracted?.last)}</span>,
      secondary: true,
    },
    {
      id: "agent",
      title: "Agent",
      width: "minmax(0, 1.3fr)",
      cell: (thread) => {
        const id = `${thread.metadata?.assistant_id ?? ""}`;
        return names.get(id) ?? <span className="text-faint">{`${thread.metadata?.graph_id ?? "–"}`}</span>;
      },
      secondary: true,
    },
    {
      id: "status",
      title: "Status",
      width: "6.5rem",
      cell: (thread) => <Badge tone={STATUS_TONES[thread.status] ?? "neutral"}>{thread.status}</Badge>,
    },
    {
      id: "updated",
      title: "Updated",
      width: "7rem",
      align: "right",
      cell: (thread) => <Time at={thread.updated_at} />,
      secondary: true,
    },
    {
      id: "id",
      title: "Id",
      width: "2.5rem",
      align: "right",
      cell: (thread) => <CopyButton text={thread.thread_id} label={`Copy the id ${thread.thread_id}`} />,
    },
  ];
}

function Subject(thread: ListedThread) {
  const said = textOf(thread.extracted?.first);
  return (
    <Link
      to={"/conversations/$threadId" as never}
      params={{ threadId: thread.thread_id } as never}
      className="font-medium hover:text-accent hover:underline"
    >
      {said || <span className="font-mono text-xs">{thread.thread_id}</span>}
    </Link>
  );
}

function Summary({ loaded, total }: { loaded: number; total: number | undefined }) {
  if (total === undefined) return <span className="invisible">0 conversations</span>;
  const rest = loaded < total ? `, ${loaded.toLocaleString("en")} loaded` : "";
  const noun = total === 1 ? "conversation" : "conversations";
  return <span aria-live="polite">{`${total.toLocaleString("en")} ${noun}${rest}`}</span>;
}

function FilterBar({
  filters,
  asks,
  agents,
  onChange,
}: {
  filters: Filters;
  asks: boolean;
  agents: AgentName[];
  onChange: (changed: Partial<Filters>) => void;
}) {
  return (
    <search className="mb-3 grid grid-cols-2 items-start gap-2 md:grid-cols-[minmax(0,25rem)_9rem_12rem]">
      <div className="max-md:col-span-2">
        <TextField
          label="Words, a thread id, or metadata as key=value"
          hideLabel
          type="search"
          placeholder="Words, a thread id, or metadata as key=value"
          value={filters.q ?? ""}
          error={asks ? null : "Write words of messages, the id of a thread, or key=value of its metadata."}
          onChange={(event) => onChange({ q: event.target.value || undefined })}
        />
      </div>
      <SelectField
        label="Status"
        hideLabel
        value={filters.status ?? ""}
        onChange={(event) => onChange({ status: (event.target.value || undefined) as Filters["status"] })}
        options={[{ value: "", title: "Every status" }, ...STATUSES.map((id) => ({ value: id, title: id }))]}
      />
      <SelectField
        label="Agent"
        hideLabel
        value={filters.agent ?? ""}
        onChange={(event) => onChange({ agent: event.target.value || undefined })}
        options={[
          { value: "", title: "Every agent" },
          ...agents.map((agent) => ({ value: agent.assistant_id, title: agent.name })),
        ]}
      />
    </search>
  );
}

function NoThreads({ filters, onClear }: { filters: Filters; onClear: () => void }) {
  if (filters.q || filters.status || filters.agent) {
    return (
      <EmptyState icon={SearchX} title="No conversation matches">
        <Button onClick={onClear}>Clear the filters</Button>
      </EmptyState>
    );
  }
  return (
    <EmptyState icon={MessagesSquare} title="No conversations yet">
      <p>Start one with any agent; those of other clients appear here as well.</p>
      <NewConversation />
    </EmptyState>
  );
}
