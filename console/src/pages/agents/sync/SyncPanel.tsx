import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Badge } from "../../../components/Badge";
import { JsonButton } from "../../../components/JsonView";
import { PageHeader, Panel } from "../../../components/PageHeader";
import { ErrorState, LoadingBlock } from "../../../components/states";
import { formatDuration, Time } from "../../../components/Time";
import { type Fact, FactList } from "../agent/FactList";
import { DryRun, summary } from "./DryRun";
import { FailureList } from "./FailureList";
import { type SyncSource, syncQuery } from "./queries";

/** Agent sync for administrators: the state of each source, failures, and a dry run. */
export default function SyncPanel({ switcher, maySync }: { switcher: ReactNode; maySync: boolean }) {
  const sync = useQuery(syncQuery);
  return (
    <>
      <PageHeader
        title="Agent sync"
        about={sync.data ? `Scope: ${sync.data.scope}` : <span className="invisible">Scope</span>}
        actions={<JsonButton value={sync.data} title="Agent sync, as the API gives it" />}
      />
      {switcher}
      {sync.isPending ? (
        <LoadingBlock height={420} />
      ) : sync.isError ? (
        <ErrorState error={sync.error} onRetry={() => sync.refetch()} />
      ) : (
        <div className="grid grid-cols-1 gap-4">
          <div className="grid gap-4 lg:grid-cols-2">
            {Object.entries(sync.data.sources).map(([name, source]) => (
              <SourcePanel key={name} name={name} source={source} />
            ))}
          </div>
          <DryRun scope={sync.data.scope} mayApply={maySync} />
          <FailureList failures={sync.data.failures} />
        </div>
      )}
    </>
  );
}

function SourcePanel({ name, source }: { name: string; source: SyncSource }) {
  const { last_pass: pass, contract } = source;
  const facts: Fact[] = [
    ["Read from", source.catalogue],
    [
      "Last pass",
      pass ? (
        <>
          <Time at={pass.at} />
          {pass.counters && <span>, {summary(pass.counters)}</span>}
          {pass.seconds !== null && <span className="text-faint"> · {formatDuration(pass.seconds)}</span>}
        </>
      ) : (
        "none yet"
      ),
    ],
    [
      "Live changes",
      <Badge key="feed" tone={source.feed_connected ? "good" : "warn"}>
        {source.feed_connected ? "Connected" : "Not connected"}
      </Badge>,
    ],
    ["Write back", contract.can_write_back ? "possible" : "not possible"],
  ];
  const problems = [pass?.failure, ...contract.problems].filter((each): each is string => Boolean(each));
  return (
    <Panel
      title={name}
      actions={
        <Badge tone={contract.reachable ? "good" : "bad"}>{contract.reachable ? "Reachable" : "Unreachable"}</Badge>
      }
    >
      <FactList facts={facts} />
      {problems.map((problem) => (
        <p key={problem} className="border-t bg-bad-wash px-3 py-2 wrap-anywhere text-bad">
          {problem}
        </p>
      ))}
    </Panel>
  );
}
