import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { langgraph } from "../../api/langgraph";
import { SelectField, TextField } from "../../components/Field";
import { type Filters, fromLocal, isUuid, type Since, STATUSES, type Status, toLocal } from "./filters";

const SINCE = [
  { value: "", title: "Any time" },
  { value: "15m", title: "Last 15 minutes" },
  { value: "1h", title: "Last hour" },
  { value: "1d", title: "Last day" },
  { value: "7d", title: "Last 7 days" },
  { value: "custom", title: "From … until …" },
];
const AGENTS = 200;

export function FilterBar({ filters, onChange }: { filters: Filters; onChange: (changed: Partial<Filters>) => void }) {
  return (
    <search className="mb-3 grid grid-cols-2 gap-2 md:grid-cols-[9rem_minmax(0,14rem)_minmax(0,22rem)_10rem]">
      <SelectField
        label="Status"
        hideLabel
        value={filters.status ?? ""}
        onChange={(event) => onChange({ status: (event.target.value || undefined) as Status | undefined })}
        options={[{ value: "", title: "Every status" }, ...STATUSES.map((value) => ({ value, title: value }))]}
      />
      <AgentField agent={filters.agent} onChange={(agent) => onChange({ agent })} />
      <ThreadField thread={filters.thread} onChange={(thread) => onChange({ thread })} />
      <SelectField
        label="Created"
        hideLabel
        value={filters.since ?? ""}
        onChange={(event) =>
          onChange({ since: (event.target.value || undefined) as Since, from: undefined, until: undefined })
        }
        options={SINCE}
      />
      {filters.since === "custom" && <Bounds filters={filters} onChange={onChange} />}
    </search>
  );
}

/** The first agents by name, and the one that is chosen. */
function AgentField({ agent, onChange }: { agent: string | undefined; onChange: (agent: string | undefined) => void }) {
  const agents = useQuery({
    queryKey: ["assistants", "names"],
    queryFn: ({ signal }) =>
      langgraph.assistants.search({
        select: ["assistant_id", "name"],
        sortBy: "name",
        sortOrder: "asc",
        limit: AGENTS,
        signal,
      }),
    staleTime: 60_000,
  });
  const options = (agents.data ?? []).map(({ assistant_id, name }) => ({ value: assistant_id, title: name }));
  const isListed = !agent || options.some(({ value }) => value === agent);
  return (
    <SelectField
      label="Agent"
      hideLabel
      value={agent ?? ""}
      onChange={(event) => onChange(event.target.value || undefined)}
      options={[
        { value: "", title: "Every agent" },
        ...options,
        ...(isListed ? [] : [{ value: agent, title: `Agent ${agent}` }]),
      ]}
    />
  );
}

/** Takes effect when the text is a whole id. */
function ThreadField({ thread, onChange }: { thread: string | undefined; onChange: (id: string | undefined) => void }) {
  const [text, setText] = useState(thread ?? "");
  useEffect(() => setText(thread ?? ""), [thread]);
  const change = (value: string) => {
    setText(value);
    if (value.trim() === "") onChange(undefined);
    else if (isUuid(value.trim())) onChange(value.trim());
  };
  return (
    <TextField
      label="Thread"
      hideLabel
      type="search"
      placeholder="Id of a thread"
      value={text}
      onChange={(event) => change(event.target.value)}
      error={text && !isUuid(text.trim()) ? "This is not the id of a thread." : null}
    />
  );
}

function Bounds({ filters, onChange }: { filters: Filters; onChange: (changed: Partial<Filters>) => void }) {
  return (
    <div className="col-span-full grid grid-cols-2 gap-2 md:max-w-md">
      <TextField
        label="From"
        type="datetime-local"
        value={toLocal(filters.from)}
        onChange={(event) => onChange({ from: fromLocal(event.target.value) })}
      />
      <TextField
        label="Until"
        type="datetime-local"
        value={toLocal(filters.until)}
        onChange={(event) => onChange({ until: fromLocal(event.target.value) })}
      />
    </div>
  );
}
