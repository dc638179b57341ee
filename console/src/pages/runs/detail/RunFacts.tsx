import type { ReactNode } from "react";
import { CopyButton } from "../../../components/CopyButton";
import { classes } from "../../../components/classes";
import { formatDuration, Time } from "../../../components/Time";
import type { Timeline } from "./timeline";

/** The numbers of a run, and its ids. */
export function RunFacts({ timeline }: { timeline: Timeline }) {
  const { run, tokens, trace_id } = timeline;
  return (
    <dl className="grid grid-cols-2 gap-px overflow-hidden rounded-lg border bg-line sm:grid-cols-3 lg:grid-cols-6">
      <Fact name="Created">
        <Time at={run.created_at} />
      </Fact>
      <Fact name="Waited">{formatDuration(run.wait_seconds)}</Fact>
      <Fact name="Ran">{run.run_seconds === null ? "–" : formatDuration(run.run_seconds)}</Fact>
      <Fact name="Attempts">{run.attempts}</Fact>
      <Fact name="Tokens in / out">{tokensOf(tokens)}</Fact>
      <Fact name="Events">{eventsOf(timeline)}</Fact>
      <Fact name="Run id" isWide>
        <Id text={run.run_id} label="Copy the run id" />
      </Fact>
      <Fact name="Trace id" isWide>
        {trace_id ? <Id text={trace_id} label="Copy the trace id" /> : <span className="text-faint">not traced</span>}
      </Fact>
      <Fact name="Owner" isWide>
        <span className="block truncate" title={run.owner_id}>
          {run.owner_id}
        </span>
      </Fact>
    </dl>
  );
}

function Fact({ name, isWide = false, children }: { name: string; isWide?: boolean; children: ReactNode }) {
  return (
    <div className={classes("min-w-0 bg-surface px-3 py-2", isWide && "col-span-2 sm:col-span-3 lg:col-span-2")}>
      <dt className="text-xs text-faint">{name}</dt>
      <dd className="flex min-h-7 items-center font-medium tabular-nums">{children}</dd>
    </div>
  );
}

function Id({ text, label }: { text: string; label: string }) {
  return (
    <span className="flex min-w-0 items-center gap-1">
      <code className="truncate font-mono text-xs" title={text}>
        {text}
      </code>
      <CopyButton text={text} label={label} />
    </span>
  );
}

const number = (value: number | null) => (value === null ? "–" : value.toLocaleString("en"));

function tokensOf({ input, output }: Timeline["tokens"]): string {
  return input === null && output === null ? "not told" : `${number(input)} / ${number(output)}`;
}

function eventsOf({ events: { count, bytes }, events_expired }: Timeline): string {
  if (events_expired) return "deleted";
  if (count === null) return "in Redis";
  return bytes === null ? number(count) : `${number(count)} · ${sizeOf(bytes)}`;
}

const KILO = 1_000;

function sizeOf(bytes: number): string {
  if (bytes < KILO) return `${bytes} B`;
  return bytes < KILO * KILO ? `${(bytes / KILO).toFixed(1)} kB` : `${(bytes / KILO / KILO).toFixed(1)} MB`;
}
