import { describe, expect, it } from "vitest";
import { anEntry } from "../../testing/instances";
import { FleetState } from "./fleetState";
import { countsOf, groupsOf, ordered, readFilters } from "./groups";
import { conditionOf, type Instance } from "./instances";
import { columnsFor, linesOf } from "./layout";

const many = (count: number, of: (index: number) => Partial<Instance>) =>
  Array.from({ length: count }, (_, index) => anEntry({ registration_id: `${index}`, ...of(index) }));

describe("the groups of the fleet", () => {
  it("are agents with their zones, each counted by state", () => {
    const groups = groupsOf(
      [
        anEntry({ agent_id: "b", zone: "us" }),
        anEntry({ agent_id: "b", zone: "eu", health_status: "degraded", workload: 2 }),
        anEntry({ agent_id: "b", version: "2", workload: 1 }),
        anEntry({ agent_id: "a" }),
      ],
      {},
    );
    expect(groups.map(({ agentId, total }) => [agentId, total])).toEqual([
      ["a", 1],
      ["b", 3],
    ]);
    expect(groups[1]).toMatchObject({ workload: 3, versions: 2, counts: { healthy: 2, degraded: 1 } });
    expect(groups[1]?.zones.map(({ zone }) => zone)).toEqual(["eu", "us", "–"]);
  });

  it("have instances in the order of their numbers", () => {
    const fleet = new FleetState();
    const named = (name: string) => anEntry({ registration_id: name, instance_id: name }).instance;
    fleet.applyPage(["bot-10", "bot-9", "bot-100"].map(named), 1);
    const [group] = groupsOf([...fleet.entries.values()], {});
    expect(group?.zones[0]?.entries.map(({ instance }) => instance.instance_id)).toEqual([
      "bot-9",
      "bot-10",
      "bot-100",
    ]);
  });

  it.each([
    [{ q: "NINE" }, 1],
    [{ q: "gpu" }, 1],
    [{ agent: "bot" }, 2],
    [{ agent: "bot", state: "stale" as const }, 0],
    [{ zone: "–" }, 1],
    [{ zone: "eu" }, 1],
  ])("leave out what does not match %j", (filters, count) => {
    const entries = [anEntry({ instance_id: "nine", zone: "eu" }), anEntry({ registration_id: "2", tags: ["gpu"] })];
    expect(groupsOf(entries, filters).reduce((sum, { total }) => sum + total, 0)).toBe(count);
  });

  it("of 10,000 instances have few lines while they are closed, and each instance once while they are open", () => {
    const entries = many(10_000, (index) => ({
      agent_id: `bot-${index % 7}`,
      zone: `z${index % 3}`,
      instance_id: `i${index}`,
    }));
    const groups = groupsOf(entries, { q: "i" });
    expect(linesOf(groups, 5, () => false)).toHaveLength(7);
    const lines = linesOf(groups, 5, () => true);
    expect(lines.flatMap((line) => (line.kind === "tiles" ? line.entries : []))).toHaveLength(10_000);
    expect(new Set(lines.map(({ key }) => key)).size).toBe(lines.length);
  });
});

describe("the state of an instance", () => {
  it.each([
    [{}, true, "healthy"],
    [{ health_status: "degraded" as const }, true, "degraded"],
    [{ cordoned_at: "2026-01-01T00:00:00Z" }, true, "cordoned"],
    [{ cordoned_at: "2026-01-01T00:00:00Z", registration_status: "draining" as const }, true, "draining"],
    [{}, false, "disconnected"],
    [{ registration_status: "inactive" as const, health_status: "stale" as const }, false, "stale"],
    [
      { registration_status: "inactive" as const, health_status: "stale" as const, lease_expires_at: null },
      true,
      "ended",
    ],
  ])("%j, connected %s, is %s", (changed, connected, expected) => {
    expect(conditionOf(anEntry(changed).instance, connected)).toBe(expected);
  });

  it("is counted in the order of CONDITIONS", () => {
    const counts = countsOf([anEntry({ health_status: "stale" }), anEntry(), anEntry()]);
    expect(ordered(counts).map(({ id, count }) => [id, count])).toEqual([
      ["healthy", 2],
      ["stale", 1],
    ]);
  });
});

it("reads filters from an address, and drops what it does not know", () => {
  expect(
    readFilters({ q: 7, agent: "bot", state: "flying", open: [], tab: "scaling", job: "running", more: 1 }),
  ).toEqual({
    q: "7",
    agent: "bot",
    tab: "scaling",
    job: "running",
  });
});

it.each([
  [200, 1],
  [424, 2],
  [1000, 4],
])("places %i pixels of tiles in %i columns", (width, columns) => expect(columnsFor(width)).toBe(columns));
