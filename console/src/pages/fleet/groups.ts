import type { Entry } from "./fleetState";
import { CONDITIONS, type Condition, conditionOf, isCondition } from "./instances";
import { JOB_STATES } from "./jobs";

export interface Filters {
  q?: string;
  agent?: string;
  zone?: string;
  state?: Condition;
  /** Which agents are open, where not all are. */
  open?: string[];
  tab?: "scaling" | "jobs";
  /** The state of jobs. */
  job?: string;
}

export function readFilters(raw: Record<string, unknown>): Record<string, unknown> & Filters {
  const { q, agent, zone, state, open, tab, job } = raw;
  return {
    ...text("q", q),
    ...text("agent", agent),
    ...text("zone", zone),
    ...(isCondition(state) ? { state } : {}),
    ...(Array.isArray(open) && open.length ? { open: open.map(String) } : {}),
    ...(JOB_STATES.includes(`${job}`) ? { job: `${job}` } : {}),
    ...(tab === "scaling" || tab === "jobs" ? { tab } : {}),
  };
}

/** The router reads "7" in an address as a number. */
const text = (name: string, value: unknown) =>
  (typeof value === "string" && value) || typeof value === "number" ? { [name]: `${value}` } : {};

/** In the address and in lists, the zone of instances that name none. */
export const NO_ZONE = "–";
export const zoneOf = (entry: Entry) => entry.instance.zone ?? NO_ZONE;

export type Counts = Partial<Record<Condition, number>>;

export interface Zone {
  zone: string;
  counts: Counts;
  entries: Entry[];
}

export interface Group {
  agentId: string;
  total: number;
  counts: Counts;
  workload: number;
  versions: number;
  zones: Zone[];
}

/** The instances that match, by agent and zone, each in the order of its name. */
export function groupsOf(entries: Entry[], filters: Filters): Group[] {
  const agents = new Map<string, Map<string, Entry[]>>();
  for (const entry of entries) {
    if (!matches(entry, filters)) continue;
    const zones = found(agents, entry.instance.agent_id, () => new Map<string, Entry[]>());
    found(zones, zoneOf(entry), () => []).push(entry);
  }
  return [...agents].map(([agentId, zones]) => group(agentId, zones)).sort((a, b) => compare(a.agentId, b.agentId));
}

function group(agentId: string, zones: Map<string, Entry[]>): Group {
  const entries = [...zones.values()].flat();
  return {
    agentId,
    total: entries.length,
    counts: countsOf(entries),
    workload: entries.reduce((sum, { instance }) => sum + instance.workload, 0),
    versions: new Set(entries.map(({ instance }) => instance.version)).size,
    zones: [...zones]
      .map(([zone, each]) => ({
        zone,
        counts: countsOf(each),
        entries: each.sort((a, b) => compare(a.order, b.order)),
      }))
      .sort((a, b) => compare(a.zone, b.zone)),
  };
}

export function countsOf(entries: Entry[]): Counts {
  const counts: Counts = {};
  for (const { instance, connected } of entries) {
    const condition = conditionOf(instance, connected);
    counts[condition] = (counts[condition] ?? 0) + 1;
  }
  return counts;
}

/** Counts in the order of CONDITIONS. */
export const ordered = (counts: Counts) =>
  CONDITIONS.flatMap((condition) => (counts[condition.id] ? [{ ...condition, count: counts[condition.id] ?? 0 }] : []));

export function matches({ instance, connected }: Entry, { q, agent, zone, state }: Filters): boolean {
  if (agent && instance.agent_id !== agent) return false;
  if (zone && (instance.zone ?? NO_ZONE) !== zone) return false;
  if (state && conditionOf(instance, connected) !== state) return false;
  if (!q) return true;
  const wanted = q.toLowerCase();
  const { instance_id, name, version, tags, capabilities, registration_id } = instance;
  return [instance_id, name, version ?? "", registration_id, ...tags, ...capabilities].some((each) =>
    each.toLowerCase().includes(wanted),
  );
}

function found<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
