import type { Entry } from "./fleetState";
import type { Group, Zone } from "./groups";

/** A line of the page: the heading of an agent, of a zone of it, or as many tiles as stand side by side. */
export type Line =
  | { kind: "agent"; key: string; group: Group; open: boolean }
  | { kind: "zone"; key: string; agentId: string; zone: Zone }
  | { kind: "tiles"; key: string; agentId: string; zone: string; entries: Entry[] };

/** Pixels. Tiles have room below them. */
export const HEIGHTS: Record<Line["kind"], number> = { agent: 48, zone: 30, tiles: 80 };
export const TILE_WIDTH = 208;
export const GAP = 8;

/** Above so many instances agents are closed at first: their headings count what they have. */
export const OPEN_UP_TO = 500;

export const columnsFor = (width: number) => Math.max(1, Math.floor((width + GAP) / (TILE_WIDTH + GAP)));

export function linesOf(groups: Group[], columns: number, isOpen: (agentId: string) => boolean): Line[] {
  return groups.flatMap((group): Line[] => {
    const open = isOpen(group.agentId);
    const heading: Line = { kind: "agent", key: group.agentId, group, open };
    return open ? [heading, ...group.zones.flatMap((zone) => linesOfZone(group.agentId, zone, columns))] : [heading];
  });
}

function linesOfZone(agentId: string, zone: Zone, columns: number): Line[] {
  const key = `${agentId}\n${zone.zone}`;
  const lines: Line[] = [{ kind: "zone", key, agentId, zone }];
  for (let at = 0; at < zone.entries.length; at += columns) {
    const entries = zone.entries.slice(at, at + columns);
    lines.push({ kind: "tiles", key: `${key}\n${at}`, agentId, zone: zone.zone, entries });
  }
  return lines;
}
