import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { Badge, type Tone } from "../../components/Badge";
import { classes } from "../../components/classes";
import { Panel } from "../../components/PageHeader";
import { LoadingRows } from "../../components/states";
import { formatBytes } from "./points";
import type { Overview } from "./useOverview";

type Props = { overview: Overview | undefined };

const STATES: [string, Tone][] = [
  ["healthy", "good"],
  ["starting", "accent"],
  ["degraded", "warn"],
  ["unhealthy", "bad"],
  ["stale", "bad"],
];

const ROWS = { rows: 4, height: 36 };

export function InstancesPanel({ overview }: Props) {
  const states = overview?.instances.by_state ?? {};
  const named = STATES.filter(([state]) => states[state]);
  const others = Object.keys(states).filter((state) => !STATES.some(([id]) => id === state));
  return (
    <Panel title="Instances" actions={<More to="/fleet">Fleet</More>}>
      {!overview ? (
        <LoadingRows {...ROWS} />
      ) : named.length + others.length ? (
        <dl>
          {[...named, ...others.map((state): [string, Tone] => [state, "neutral"])].map(([state, tone]) => (
            <Row key={state} name={<Badge tone={tone}>{state}</Badge>}>
              {(states[state] ?? 0).toLocaleString("en")}
            </Row>
          ))}
        </dl>
      ) : (
        <p className="px-3 py-3 text-soft">No instance has dialled in.</p>
      )}
    </Panel>
  );
}

/** The members that agent sync reports, whatever its version has. */
export function SyncPanel({ overview }: Props) {
  const report = overview?.agent_sync ?? {};
  const facts = Object.entries(report).filter(([, value]) => typeof value !== "object" || value === null);
  const failed = typeof report.failure === "string" || Number(report.failed) > 0;
  return (
    <Panel
      title="Agent sync"
      actions={overview && <Badge tone={failed ? "bad" : "good"}>{failed ? "failing" : "well"}</Badge>}
    >
      {!overview ? (
        <LoadingRows {...ROWS} />
      ) : (
        <dl>
          {facts.map(([name, value]) => (
            <Row key={name} name={name.replaceAll("_", " ")} bad={failed && (name === "failure" || name === "failed")}>
              {word(value)}
            </Row>
          ))}
        </dl>
      )}
    </Panel>
  );
}

const word = (value: unknown) =>
  value === true ? "yes" : value === false ? "no" : value === null ? "none" : String(value);

export function DatabasePanel({ overview }: Props) {
  const database = overview?.database;
  const used = database ? database.connections.used / Math.max(1, database.connections.max) : 0;
  return (
    <Panel
      title="Database"
      actions={database && <Badge tone={database.ok ? "good" : "bad"}>{database.ok ? "answers" : "away"}</Badge>}
    >
      {!database ? (
        <LoadingRows {...ROWS} />
      ) : (
        <dl>
          <Row name="PostgreSQL">{database.version}</Row>
          <Row name="Size">{database.size_bytes === null ? "unknown" : formatBytes(database.size_bytes)}</Row>
          <Row name="Connections" bad={used > 0.9}>{`${database.connections.used} of ${database.connections.max}`}</Row>
          <div className="px-3 pb-3">
            <div className="h-1.5 overflow-hidden rounded-full bg-sunken" aria-hidden>
              <div
                className={classes("h-full", used > 0.9 ? "bg-bad" : "bg-accent")}
                style={{ width: `${Math.min(100, 100 * used)}%` }}
              />
            </div>
          </div>
        </dl>
      )}
    </Panel>
  );
}

export function ProcessesPanel({ overview }: Props) {
  const replicas = overview?.replicas ?? [];
  const kinds = [...new Set(replicas.map(({ process }) => process))].sort();
  const versions = new Set(replicas.map(({ version }) => version).filter(Boolean));
  return (
    <Panel title="Processes" actions={versions.size > 1 && <Badge tone="warn">{`${versions.size} versions`}</Badge>}>
      {!overview ? (
        <LoadingRows {...ROWS} />
      ) : (
        <dl>
          {kinds.map((kind) => {
            const of = replicas.filter(({ process }) => process === kind);
            const version = [...new Set(of.map((each) => each.version ?? ""))].join(", ");
            return (
              <Row key={kind} name={kind}>
                {of.length} <span className="text-faint">{version}</span>
              </Row>
            );
          })}
        </dl>
      )}
    </Panel>
  );
}

function Row({ name, bad = false, children }: { name: ReactNode; bad?: boolean; children: ReactNode }) {
  return (
    <div className="flex min-h-9 items-center justify-between gap-3 px-3 py-1">
      <dt className="shrink-0 text-soft">{name}</dt>
      <dd className={classes("min-w-0 text-right tabular-nums wrap-anywhere", bad && "text-bad")}>{children}</dd>
    </div>
  );
}

const More = ({ to, children }: { to: string; children: ReactNode }) => (
  <Link to={to} className="text-accent hover:underline">
    {children}
  </Link>
);
