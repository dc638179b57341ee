import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleCheck } from "lucide-react";
import { useState } from "react";
import { Badge } from "../../../components/Badge";
import { Button } from "../../../components/Button";
import { CopyButton } from "../../../components/CopyButton";
import { Panel } from "../../../components/PageHeader";
import { EmptyState } from "../../../components/states";
import { Time } from "../../../components/Time";
import { ProblemNote } from "../ProblemNote";
import { moreFailures, type SyncFailure, type SyncStatus } from "./queries";

/** The agents whose last sync failed, with the reason and the row that it comes from. */
export function FailureList({ failures }: { failures: SyncStatus["failures"] }) {
  const [cursors, setCursors] = useState<string[]>([]);
  const more = useQuery({
    queryKey: ["agent-sync", "failures", cursors],
    queryFn: () => Promise.all(cursors.map(moreFailures)),
    enabled: cursors.length > 0,
    placeholderData: (previous) => previous,
  });
  const pages = [failures, ...(more.data ?? [])];
  const next = pages.at(-1)?.next_after;
  return (
    <Panel title={`Failures (${failures.total.toLocaleString("en")})`}>
      {failures.items.length === 0 ? (
        <EmptyState icon={CircleCheck} title="No agent failed">
          <p>Every row of the catalogue in the scope became an assistant.</p>
        </EmptyState>
      ) : (
        <ul className="divide-y">
          {pages
            .flatMap((page) => page.items)
            .map((failure) => (
              <li key={`${failure.source}-${failure.agent_id}`} className="px-3 py-2.5">
                <FailureLine failure={failure} />
              </li>
            ))}
        </ul>
      )}
      {more.isError && <ProblemNote error={more.error} />}
      {next && (
        <div className="border-t p-2 text-center">
          <Button onClick={() => setCursors([...cursors, next])} disabled={more.isFetching}>
            {more.isFetching ? "Loading" : "Load more"}
          </Button>
        </div>
      )}
    </Panel>
  );
}

export function FailureLine({ failure: { agent_id, source, name, reason, at } }: { failure: SyncFailure }) {
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-2">
        {name ? (
          <Link to="/agents/$assistantId" params={{ assistantId: agent_id }} className="font-medium hover:underline">
            {name}
          </Link>
        ) : (
          <span className="font-medium">No assistant yet</span>
        )}
        <Badge>{source}</Badge>
        <span className="text-faint">
          <Time at={at} />
        </span>
      </div>
      <p className="mt-0.5 wrap-anywhere text-bad">{reason}</p>
      <p className="flex items-center gap-1 text-xs text-faint">
        Row <code className="font-mono wrap-anywhere">{agent_id}</code>
        <CopyButton text={agent_id} label="Copy the id of the row" />
      </p>
    </>
  );
}
