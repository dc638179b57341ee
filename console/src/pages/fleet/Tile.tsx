import { Link } from "@tanstack/react-router";
import { memo } from "react";
import { classes } from "../../components/classes";
import { formatDuration } from "../../components/Time";
import { FILLS } from "./ConditionMark";
import type { Entry } from "./fleetState";
import { type Condition, conditionOf, describeCondition } from "./instances";

const EDGES: Partial<Record<Condition, string>> = {
  unhealthy: "border-bad/50",
  stale: "border-bad/50",
  degraded: "border-warn/50",
  disconnected: "border-warn/50",
  cordoned: "border-warn/50",
};

/** One instance: its name, state, version, registration, load, and its last heartbeat. */
export const Tile = memo(function Tile({ entry, now }: { entry: Entry; now: number }) {
  const { instance } = entry;
  const condition = conditionOf(instance, entry.connected);
  const { title, tone, about } = describeCondition(condition);
  return (
    <Link
      to="/fleet/$registrationId"
      params={{ registrationId: instance.registration_id }}
      preload={false}
      className={classes(
        "flex h-[72px] min-w-0 flex-col justify-between rounded-md border bg-surface px-2.5 py-2 hover:border-edge hover:bg-sunken/50",
        EDGES[condition],
      )}
    >
      <span className="flex items-center gap-2">
        <span className="min-w-0 flex-1 truncate font-medium" title={instance.instance_id}>
          {instance.instance_id}
        </span>
        <span className="flex shrink-0 items-center gap-1 text-xs text-soft" title={about}>
          <span className={classes("size-2 rounded-full", FILLS[tone])} aria-hidden />
          {title}
        </span>
      </span>
      <span className="flex items-center justify-between gap-2 text-xs text-soft tabular-nums">
        <span className="truncate" title="Version and epoch: how often it registered">
          {instance.version ?? "no version"} · epoch {instance.epoch}
        </span>
        <span className="shrink-0" title="The work in hand that it reports">
          load {instance.workload}
        </span>
      </span>
      <span className="truncate text-xs text-faint tabular-nums">
        {describeHeartbeat(instance.last_health_check, condition, now)}
      </span>
    </Link>
  );
});

/** When the last heartbeat came. Of a lease that is valid this is no later than the last list. */
function describeHeartbeat(at: string | null, condition: Condition, now: number): string {
  if (!at) return "no heartbeat yet";
  const seconds = Math.max(0, (now - Date.parse(at)) / 1000);
  const ago = seconds < 10 ? "just now" : `${formatDuration(seconds)} ago`;
  return condition === "stale" ? `lease lapsed, last heartbeat ${ago}` : `last heartbeat ${ago}`;
}
