import type { UseQueryResult } from "@tanstack/react-query";
import { Badge } from "../../components/Badge";
import { JsonButton } from "../../components/JsonView";
import { Panel } from "../../components/PageHeader";
import { ErrorState, LoadingRows } from "../../components/states";
import { formatDuration, Time } from "../../components/Time";
import type { SyncPass, SyncStatus } from "./useHealth";

/** How the agents of the catalogue become assistants: the last passes, the feed of edits, and what failed. */
export function SyncPanel({ sync }: { sync: UseQueryResult<SyncStatus> }) {
  const found = sync.data;
  const problems = found ? [...found.contract.problems, ...(found.feed.failure ? [found.feed.failure] : [])] : [];
  const failures = found?.failures.total ?? 0;
  const well = !problems.length && !failures && !found?.last_pass?.failure;
  return (
    <Panel
      title="Agent sync"
      actions={found && <Badge tone={well ? "good" : "bad"}>{well ? "well" : "failing"}</Badge>}
    >
      {sync.isError && !found ? (
        <ErrorState error={sync.error} onRetry={() => sync.refetch()} />
      ) : !found ? (
        <LoadingRows rows={4} height={44} />
      ) : (
        <div className="divide-y">
          <dl className="px-3 py-1.5">
            <Row name="Scope">{found.scope}</Row>
            <Row name="Catalogue">{found.catalogue}</Row>
            <Row name="Edits">{feedWords(found.feed)}</Row>
          </dl>
          {problems.map((problem) => (
            <p key={problem} role="alert" className="bg-bad-wash px-3 py-2 text-bad wrap-anywhere">
              {problem}
            </p>
          ))}
          {failures > 0 && (
            <div className="flex items-center justify-between gap-2 bg-bad-wash px-3 py-1 text-bad">
              <p>{`${failures.toLocaleString("en")} ${failures === 1 ? "agent" : "agents"} could not be synced.`}</p>
              <JsonButton value={found.failures.items} title="Agents that could not be synced" label="Reasons" />
            </div>
          )}
          <section aria-labelledby="passes" className="px-3 py-2">
            <h3 id="passes" className="mb-1 text-xs font-medium text-soft">
              Last passes
            </h3>
            {found.passes.length ? (
              <ol className="space-y-1">
                {found.passes.slice(0, SHOWN).map((pass) => (
                  <Pass key={`${pass.source}-${pass.at}-${pass.replica}`} pass={pass} />
                ))}
              </ol>
            ) : (
              <p className="text-soft">None yet. With AGENT_SYNC_SCOPE=all the server syncs when it starts.</p>
            )}
          </section>
        </div>
      )}
    </Panel>
  );
}

const SHOWN = 5;

function Pass({ pass }: { pass: SyncPass }) {
  return (
    <li>
      <p className="flex flex-wrap items-baseline justify-between gap-x-3">
        <span>
          <Time at={pass.at} />{" "}
          <span className="text-soft">{`${pass.scope}${pass.seconds === null ? "" : `, ${formatDuration(pass.seconds)}`}`}</span>
        </span>
        {pass.failure && <Badge tone="bad">failed</Badge>}
      </p>
      <p className="text-xs text-soft wrap-anywhere">{pass.failure ?? counted(pass.counters ?? {})}</p>
    </li>
  );
}

/** "5 total, 1 created": counters of 0 are left out. */
const counted = (counters: Record<string, number>) =>
  Object.entries(counters)
    .filter(([name, count]) => count > 0 || name === "total")
    .map(([name, count]) => `${count.toLocaleString("en")} ${name}`)
    .join(", ");

function feedWords({ connected, polling, waiting }: SyncStatus["feed"]): string {
  const how = connected ? "reported by triggers" : polling ? "found by polling" : "not heard";
  return waiting ? `${how}, ${waiting} not applied yet` : how;
}

function Row({ name, children }: { name: string; children: string }) {
  return (
    <div className="flex min-h-7 items-baseline justify-between gap-3">
      <dt className="shrink-0 text-soft">{name}</dt>
      <dd className="min-w-0 text-right wrap-anywhere">{children}</dd>
    </div>
  );
}
