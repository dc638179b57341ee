import type { UseQueryResult } from "@tanstack/react-query";
import { toProblem } from "../../api/problem";
import { Badge, type Tone } from "../../components/Badge";
import { Panel } from "../../components/PageHeader";
import { ErrorState, LoadingRows } from "../../components/states";
import { Time } from "../../components/Time";
import type { Slots } from "./instances";

export interface InstanceHistory {
  registrations: {
    epoch: number;
    registered_at: string;
    ended_at: string | null;
    reason: string | null;
    version: string | null;
  }[];
  breaker: {
    state: "closed" | "open" | "half_open";
    failures: number;
    ejections: number;
    reason: string | null;
    until: string | null;
    opened_at: string | null;
  } | null;
  jobs: { succeeded: number; failed: number; rejected: number; running: number };
  health_check: { checked_at: string | null; failures: number; error: string | null } | null;
  events: { at: string; kind: string; epoch: number; detail: Record<string, unknown> }[];
}

const TONES: Record<string, Tone> = {
  registered: "good",
  reconnected: "good",
  revived: "good",
  uncordoned: "good",
  breaker_closed: "good",
  breaker_half_open: "warn",
  breaker_opened: "bad",
  stale: "bad",
  inactive: "bad",
  cordoned: "warn",
  disconnected: "warn",
  draining: "accent",
};

const BREAKERS: Record<string, [string, Tone]> = {
  closed: ["Closed: it gets jobs", "good"],
  open: ["Open: it gets no jobs", "bad"],
  half_open: ["Half open: it is tried with one job", "warn"],
};

/** The breaker, the ends of its jobs, and what happened, the newest first. */
export function HistoryPanel({ history, slots }: { history: UseQueryResult<InstanceHistory>; slots: Slots | null }) {
  const found = history.data;
  return (
    <Panel title="History">
      {slots && <Breaker slots={slots} breaker={found?.breaker ?? null} />}
      {found ? (
        <>
          {found.health_check && <HealthCheck check={found.health_check} />}
          <JobCounts jobs={found.jobs} />
          <Registrations registrations={found.registrations} />
          <Events events={found.events} />
        </>
      ) : history.isError ? (
        toProblem(history.error).isUnavailable ? (
          <p className="px-3 py-4 text-soft">This server keeps no history of instances.</p>
        ) : (
          <ErrorState error={history.error} onRetry={() => history.refetch()} />
        )
      ) : (
        <LoadingRows rows={6} height={36} />
      )}
    </Panel>
  );
}

function Breaker({ slots, breaker }: { slots: Slots; breaker: InstanceHistory["breaker"] }) {
  const state = breaker?.state ?? slots.breaker;
  const [title, tone] = BREAKERS[state] ?? [state, "neutral"];
  const reason = breaker?.reason ?? slots.reason;
  const until = breaker?.until ?? slots.ejected_until;
  return (
    <div className="space-y-1 border-b px-3 py-2">
      <p className="flex flex-wrap items-center gap-2">
        <span className="text-soft">Circuit breaker</span>
        <Badge tone={tone}>{title}</Badge>
        <span className="text-soft tabular-nums">{`${slots.used} of ${slots.slots} slots used`}</span>
      </p>
      {state !== "closed" && (
        <p className="text-soft wrap-anywhere">
          {breaker?.opened_at && (
            <>
              Opened <Time at={breaker.opened_at} />
            </>
          )}
          {until && (
            <>
              {" "}
              · tried again <Time at={until} />
            </>
          )}
          {reason && ` · ${reason}`}
        </p>
      )}
    </div>
  );
}

function HealthCheck({ check }: { check: NonNullable<InstanceHistory["health_check"]> }) {
  return (
    <p className="flex flex-wrap items-center gap-2 border-b px-3 py-2">
      <span className="text-soft">Health check</span>
      {check.checked_at === null ? (
        <Badge tone="neutral">Not made yet</Badge>
      ) : (
        <>
          <Badge tone={check.error === null ? "good" : "bad"}>{check.error === null ? "Passed" : "Failed"}</Badge>
          <span className="text-soft wrap-anywhere">
            <Time at={check.checked_at} />
            {check.error !== null && ` · ${check.failures} in a row · ${check.error}`}
          </span>
        </>
      )}
    </p>
  );
}

function JobCounts({ jobs }: { jobs: InstanceHistory["jobs"] }) {
  return (
    <dl className="grid grid-cols-4 divide-x border-b text-center">
      {(["succeeded", "failed", "rejected", "running"] as const).map((each) => (
        <div key={each} className="px-2 py-2">
          <dt className="text-xs text-soft">{each}</dt>
          <dd className="font-semibold tabular-nums">{jobs[each].toLocaleString("en")}</dd>
        </div>
      ))}
    </dl>
  );
}

function Registrations({ registrations }: { registrations: InstanceHistory["registrations"] }) {
  if (!registrations.length) return null;
  return (
    <section aria-labelledby="registrations" className="border-b px-3 py-2">
      <h3 id="registrations" className="mb-1 text-xs font-medium text-soft">
        Registrations
      </h3>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <div className="max-h-40 overflow-auto" tabIndex={0}>
        <table className="w-full text-left">
          <thead className="sr-only">
            <tr>
              <th>Epoch</th>
              <th>Version</th>
              <th>Registered</th>
              <th>End</th>
            </tr>
          </thead>
          <tbody>
            {registrations.map((each) => (
              <tr key={each.epoch}>
                <td className="py-0.5 pr-3 whitespace-nowrap tabular-nums">epoch {each.epoch}</td>
                <td className="py-0.5 pr-3 text-soft">{each.version ?? "no version"}</td>
                <td className="py-0.5 pr-3 text-soft">
                  <Time at={each.registered_at} />
                </td>
                <td className="py-0.5 text-right text-soft wrap-anywhere">
                  {each.ended_at ? (each.reason ?? "ended") : <Badge tone="good">current</Badge>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Events({ events }: { events: InstanceHistory["events"] }) {
  if (!events.length) return <p className="px-3 py-4 text-soft">Nothing has been recorded yet.</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
    <section aria-label="Events" tabIndex={0} className="max-h-72 overflow-auto">
      <ol className="divide-y">
        {events.map((event, index) => (
          <li
            key={`${event.at}-${index.toString()}`}
            className="grid grid-cols-[6.5rem_auto_1fr] items-baseline gap-2 px-3 py-1.5"
          >
            <span className="text-soft">
              <Time at={event.at} />
            </span>
            <Badge tone={TONES[event.kind] ?? "neutral"}>{event.kind.replaceAll("_", " ")}</Badge>
            <span className="text-xs text-soft wrap-anywhere">{describe(event.detail)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** "reason: no disk, version: 1.2". */
export const describe = (detail: Record<string, unknown>) =>
  Object.entries(detail)
    .filter(([, value]) => value !== null && value !== "")
    .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join(", ");
