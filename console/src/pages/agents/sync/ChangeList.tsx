import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { Badge, type Tone } from "../../../components/Badge";
import { DiffView } from "../../../components/DiffView";
import { LoadingBlock } from "../../../components/states";
import { readableText } from "../agent/readableText";
import { ProblemNote } from "../ProblemNote";
import { type AgentChange, runSync } from "./queries";

const ACTIONS: Record<AgentChange["action"], { mark: string; tone: Tone }> = {
  created: { mark: "+", tone: "good" },
  updated: { mark: "~", tone: "accent" },
  retired: { mark: "−", tone: "warn" },
  failed: { mark: "!", tone: "bad" },
  skipped: { mark: "=", tone: "neutral" },
};

/** One line for each agent that a sync changes. In a dry run it opens to the difference. */
export function ChangeList({ changes, isDry }: { changes: AgentChange[]; isDry: boolean }) {
  if (!changes.length) return <p className="p-4 text-soft">Every agent is as the catalogue says.</p>;
  return (
    <ul className="divide-y">
      {changes.map((change) => (
        <ChangeLine key={change.agent_id} change={change} isDry={isDry} />
      ))}
    </ul>
  );
}

function ChangeLine({ change, isDry }: { change: AgentChange; isDry: boolean }) {
  const [open, setOpen] = useState(change.after !== undefined && isDry);
  const { mark, tone } = ACTIONS[change.action];
  const opens = isDry && (change.action === "created" || change.action === "updated");
  return (
    <li>
      <div className="grid grid-cols-[6rem_minmax(0,1fr)_auto] items-baseline gap-x-3 px-3 py-2 max-md:grid-cols-[5.5rem_minmax(0,1fr)]">
        <Badge tone={tone}>
          <span aria-hidden>{mark}</span> {change.action}
        </Badge>
        <span className="min-w-0 wrap-anywhere">
          <Name change={change} />
          <code className="ml-2 font-mono text-xs text-faint">{change.agent_id}</code>
          {change.reason && <span className="block text-bad">{change.reason}</span>}
          {change.fields.length > 0 && (
            <span className="block font-mono text-xs text-soft">{change.fields.join(", ")}</span>
          )}
        </span>
        {opens && (
          <button
            type="button"
            aria-expanded={open}
            onClick={() => setOpen(!open)}
            className="text-accent hover:underline max-md:col-start-2 max-md:justify-self-start"
          >
            {open ? "Hide the diff" : "Show the diff"}
          </button>
        )}
      </div>
      {open && opens && (
        <div className="px-3 pb-3">
          <Difference change={change} />
        </div>
      )}
    </li>
  );
}

function Name({ change: { agent_id, action, name } }: { change: AgentChange }) {
  const isThere = action === "updated" || action === "retired";
  if (!isThere) return <span className="font-medium">{name ?? "Agent"}</span>;
  return (
    <Link to="/agents/$assistantId" params={{ assistantId: agent_id }} className="font-medium hover:underline">
      {name ?? "Agent"}
    </Link>
  );
}

/** The values before and after. A report of many agents has none, so a dry run of this one is asked for them. */
function Difference({ change }: { change: AgentChange }) {
  const isKnown = change.after !== undefined;
  const asked = useQuery({
    queryKey: ["agent-sync", "difference", change.agent_id],
    queryFn: () => runSync({ agent_id: change.agent_id }, true),
    enabled: !isKnown,
    staleTime: 0,
  });
  const found = isKnown ? change : asked.data?.changes[0];
  if (asked.isError) return <ProblemNote error={asked.error} />;
  if (!found && asked.isPending) return <LoadingBlock height={96} />;
  if (!found?.after) return <p className="text-soft">The server does not give the values.</p>;
  return (
    <DiffView
      before={found.before ? readableText(found.before) : ""}
      after={readableText(found.after)}
      label={`What a sync would change in ${change.name ?? change.agent_id}`}
    />
  );
}
