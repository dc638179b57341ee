import { Bot, BrainCircuit, Clock, type LucideIcon, RefreshCw, Waypoints, Wrench } from "lucide-react";
import { useState } from "react";
import { classes } from "../../../components/classes";
import { JsonView } from "../../../components/JsonView";
import { formatDuration } from "../../../components/Time";
import type { Span } from "./timeline";
import { type Bar, layOutWaterfall, type Tick } from "./waterfall";

const KINDS: Record<Span["kind"], { icon: LucideIcon; color: string }> = {
  queue: { icon: Clock, color: "bg-faint/50" },
  attempt: { icon: RefreshCw, color: "bg-accent/35" },
  node: { icon: Waypoints, color: "bg-accent" },
  model: { icon: BrainCircuit, color: "bg-good" },
  tool: { icon: Wrench, color: "bg-warn" },
  job: { icon: Bot, color: "bg-accent/70" },
};

const COLUMNS = "md:grid md:grid-cols-[minmax(11rem,18rem)_minmax(0,1fr)_6rem] md:items-center md:gap-x-4";
const INDENT = 16;

/** A row a span: what it is, when it was, and how long. A row opens to its details. */
export function WaterfallView({ spans, now }: { spans: Span[]; now: Date }) {
  const { bars, ticks } = layOutWaterfall(spans, now);
  return (
    <>
      <Axis ticks={ticks} />
      <ul aria-label="Spans" className="divide-y">
        {bars.map((bar) => (
          <Row key={bar.span.id} bar={bar} ticks={ticks} />
        ))}
      </ul>
    </>
  );
}

function Axis({ ticks }: { ticks: Tick[] }) {
  return (
    <div aria-hidden className={classes(COLUMNS, "border-b bg-sunken/60 px-3 py-1.5 text-xs text-soft")}>
      <span className="max-md:hidden">Span</span>
      <span className="relative block h-4">
        {ticks.map(({ at, seconds }) => (
          <span
            key={seconds}
            className={classes("absolute tabular-nums", at > 90 ? "-translate-x-full" : at > 0 && "-translate-x-1/2")}
            style={{ left: `${at}%` }}
          >
            {seconds === 0 ? "0" : formatDuration(seconds)}
          </span>
        ))}
      </span>
      <span className="text-right max-md:hidden">Took</span>
    </div>
  );
}

function Row({ bar, ticks }: { bar: Bar; ticks: Tick[] }) {
  const [open, setOpen] = useState(false);
  return (
    <li>
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className={classes(
          COLUMNS,
          "block w-full px-3 py-1.5 text-left hover:bg-sunken/60 focus-visible:-outline-offset-2",
        )}
      >
        <Name bar={bar} />
        <BarView bar={bar} ticks={ticks} />
        <span className="text-right text-soft tabular-nums max-md:hidden">{took(bar.seconds)}</span>
      </button>
      {open && (
        <div className="px-3 pb-3">
          <JsonView value={bar.span} maxHeight={280} />
        </div>
      )}
    </li>
  );
}

function Name({ bar: { span, depth, seconds } }: { bar: Bar }) {
  const Icon = KINDS[span.kind].icon;
  return (
    <span className="flex min-w-0 items-center gap-2" style={{ paddingLeft: depth * INDENT }}>
      <Icon size={14} strokeWidth={1.75} className="shrink-0 text-faint" aria-hidden />
      <span className="sr-only">{span.kind}: </span>
      <span className="truncate" title={span.name}>
        {span.name}
      </span>
      {span.status !== "success" && (
        <span className={classes("text-xs", span.status === "error" ? "text-bad" : "text-soft")}>{span.status}</span>
      )}
      <span className="ml-auto text-xs text-soft tabular-nums md:hidden">{took(seconds)}</span>
    </span>
  );
}

const took = (seconds: number | null) => (seconds === null ? "not recorded" : formatDuration(seconds));

function BarView({ bar: { span, left, width }, ticks }: { bar: Bar; ticks: Tick[] }) {
  return (
    <span aria-hidden className="relative block h-5 max-md:h-4">
      {ticks.map(({ at }) => (
        <span key={at} className="absolute inset-y-0 w-px bg-line" style={{ left: `${at}%` }} />
      ))}
      <span
        data-bar={span.id}
        className={classes(
          "absolute inset-y-1 min-w-0.5 rounded-sm",
          span.status === "error" ? "bg-bad" : KINDS[span.kind].color,
          span.status === "running" && "animate-pulse",
        )}
        style={{ left: `min(${left}%, calc(100% - 2px))`, width: `${width}%` }}
      />
    </span>
  );
}
