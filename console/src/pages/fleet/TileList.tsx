import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { ChevronDown, ChevronRight, Globe } from "lucide-react";
import { useLayoutEffect, useMemo, useRef, useState } from "react";
import { CountsBar } from "./CountsBar";
import type { Group } from "./groups";
import { columnsFor, GAP, HEIGHTS, type Line, linesOf } from "./layout";
import { Tile } from "./Tile";
import { useNow } from "./useFleet";

/** All tiles below the headings of their agent and zone. Only those in sight are rendered, however many there are. */
export function TileList({
  groups,
  isOpen,
  onToggle,
}: {
  groups: Group[];
  isOpen: (agentId: string) => boolean;
  onToggle: (agentId: string) => void;
}) {
  const place = useRef<HTMLDivElement>(null);
  const { width, top } = usePlace(place);
  const columns = columnsFor(width);
  const now = useNow();
  const lines = useMemo(() => linesOf(groups, columns, isOpen), [groups, columns, isOpen]);
  const virtualizer = useWindowVirtualizer({
    count: lines.length,
    estimateSize: (index) => HEIGHTS[lines[index]?.kind ?? "tiles"],
    getItemKey: (index) => lines[index]?.key ?? index,
    overscan: 6,
    scrollMargin: top,
  });
  // Heights follow from the kinds of lines, which change where groups open and close.
  // biome-ignore lint/correctness/useExhaustiveDependencies: `lines` is what is measured
  useLayoutEffect(() => virtualizer.measure(), [lines]);

  return (
    <div ref={place} className="relative" style={{ height: virtualizer.getTotalSize() }}>
      {virtualizer.getVirtualItems().map((item) => {
        const line = lines[item.index];
        return (
          line && (
            <div
              key={item.key}
              className="absolute inset-x-0 top-0"
              style={{ height: item.size, transform: `translateY(${item.start - top}px)` }}
            >
              <LineView line={line} columns={columns} now={now} onToggle={onToggle} />
            </div>
          )
        );
      })}
    </div>
  );
}

function LineView({
  line,
  columns,
  now,
  onToggle,
}: {
  line: Line;
  columns: number;
  now: number;
  onToggle: (agentId: string) => void;
}) {
  if (line.kind === "agent") return <AgentHeading group={line.group} open={line.open} onToggle={onToggle} />;
  if (line.kind === "zone") {
    const { zone, counts, entries } = line.zone;
    return (
      <h3 className="flex h-full items-center gap-2 text-xs text-soft">
        <Globe size={13} className="text-faint" aria-hidden />
        <span className="font-medium text-ink">{zone === "–" ? "No zone" : zone}</span>
        <span className="tabular-nums">{entries.length.toLocaleString("en")}</span>
        <CountsBar counts={counts} total={entries.length} />
      </h3>
    );
  }
  return (
    <ul
      aria-label={`Instances of ${line.agentId}, zone ${line.zone}`}
      className="grid"
      style={{ gap: GAP, gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}
    >
      {line.entries.map((entry) => (
        <li key={entry.instance.registration_id} className="min-w-0">
          <Tile entry={entry} now={now} />
        </li>
      ))}
    </ul>
  );
}

function AgentHeading({ group, open, onToggle }: { group: Group; open: boolean; onToggle: (agentId: string) => void }) {
  const { agentId, total, counts, workload, versions, zones } = group;
  return (
    <div className="flex h-10 items-center gap-3 rounded-md border bg-surface pr-3">
      <h2 className="min-w-0">
        <button
          type="button"
          aria-expanded={open}
          onClick={() => onToggle(agentId)}
          className="flex h-9 min-w-0 max-w-full items-center gap-2 pl-2 font-semibold hover:text-accent"
        >
          {open ? <ChevronDown size={16} aria-hidden /> : <ChevronRight size={16} aria-hidden />}
          <span className="truncate">{agentId}</span>
          <span className="font-normal text-soft tabular-nums">{total.toLocaleString("en")}</span>
        </button>
      </h2>
      <span className="min-w-0 flex-1 max-md:hidden">
        <CountsBar counts={counts} total={total} wide />
      </span>
      <span className="shrink-0 text-xs text-soft tabular-nums max-lg:hidden">
        {`${zones.length} ${zones.length === 1 ? "zone" : "zones"} · ${versions} ${versions === 1 ? "version" : "versions"} · load ${workload.toLocaleString("en")}`}
      </span>
    </div>
  );
}

/** The width of an element, and how far it is from the top of the page. */
function usePlace(element: React.RefObject<HTMLElement | null>) {
  const [place, setPlace] = useState({ width: 960, top: 0 });
  useLayoutEffect(() => {
    const measure = () => {
      const box = element.current?.getBoundingClientRect();
      if (!box) return;
      const next = { width: Math.round(box.width), top: Math.round(box.top + window.scrollY) };
      setPlace((last) => (last.width === next.width && last.top === next.top ? last : next));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(document.body);
    return () => observer.disconnect();
  }, [element]);
  return place;
}
