import type { Assistant } from "@langchain/langgraph-sdk";
import { useQuery } from "@tanstack/react-query";
import { Badge } from "../../../components/Badge";
import { Panel } from "../../../components/PageHeader";
import { ErrorState, LoadingBlock } from "../../../components/states";
import { Time } from "../../../components/Time";
import { asObject } from "../agent/configuration";
import { FactList } from "../agent/FactList";
import { DryRun } from "./DryRun";
import { FailureLine } from "./FailureList";
import { type SyncFailure, syncQuery } from "./queries";

/** Whether the last sync of one agent failed, the row that it comes from, and what a sync would change now. */
export function AgentSyncTab({ agent, maySync }: { agent: Assistant; maySync: boolean }) {
  const sync = useQuery(syncQuery);
  const { supabase_agent_id, synced_at } = asObject(agent.metadata);
  const rowId = typeof supabase_agent_id === "string" ? supabase_agent_id : agent.assistant_id;
  if (sync.isPending) return <LoadingBlock height={280} />;
  if (sync.isError) return <ErrorState error={sync.error} onRetry={() => sync.refetch()} />;
  const { items, total } = sync.data.failures;
  return (
    <div className="grid grid-cols-1 gap-4">
      <Panel title="Catalogue row">
        <FactList
          facts={[
            [
              "Row",
              <code key="row" className="font-mono text-xs">
                {rowId}
              </code>,
            ],
            ["Written", <Time key="at" at={typeof synced_at === "string" ? synced_at : null} />],
            [
              "Last sync",
              <LastSync
                key="last"
                failure={items.find((each) => each.agent_id === rowId)}
                isComplete={items.length >= total}
              />,
            ],
          ]}
        />
      </Panel>
      <DryRun agentId={rowId} mayApply={maySync} />
    </div>
  );
}

/** The list of failures has pages: an agent that is not on the first one may still have failed. */
function LastSync({ failure, isComplete }: { failure: SyncFailure | undefined; isComplete: boolean }) {
  if (failure) return <FailureLine failure={failure} />;
  return isComplete ? <Badge tone="good">Succeeded</Badge> : <span>See the list of failures</span>;
}
