import type { UseQueryResult } from "@tanstack/react-query";
import { Badge } from "../../components/Badge";
import { classes } from "../../components/classes";
import { Panel } from "../../components/PageHeader";
import { ErrorState, LoadingRows } from "../../components/states";
import { isWell, wordsOf } from "./readiness";
import type { Readiness } from "./useHealth";

/** Whether the process that answered can answer requests, and its parts. */
export function ReadinessPanel({ readiness }: { readiness: UseQueryResult<Readiness> }) {
  const found = readiness.data;
  return (
    <Panel
      title="Readiness"
      actions={found && <Badge tone={found.ok ? "good" : "bad"}>{found.ok ? "ready" : "not ready"}</Badge>}
    >
      {readiness.isError ? (
        <ErrorState error={readiness.error} onRetry={() => readiness.refetch()} />
      ) : !found ? (
        <LoadingRows rows={3} height={44} />
      ) : (
        <ul className="divide-y">
          {Object.entries(found.services).map(([name, part]) => (
            <li key={name} className="flex items-baseline gap-2.5 px-3 py-2">
              <span
                className={classes("size-2 shrink-0 rounded-full", isWell(part) ? "bg-good" : "bg-bad")}
                aria-hidden
              />
              <div className="min-w-0">
                <p className="font-medium">
                  {name.replaceAll("_", " ")}
                  {!isWell(part) && <span className="font-normal text-bad">, not well</span>}
                </p>
                <p className="text-soft wrap-anywhere">{wordsOf(part)}</p>
              </div>
            </li>
          ))}
          {Object.keys(found.services).length === 0 && <li className="px-3 py-3 text-soft">The server is starting.</li>}
        </ul>
      )}
    </Panel>
  );
}
