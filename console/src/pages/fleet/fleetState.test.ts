import { beforeEach, describe, expect, it } from "vitest";
import { anInstance } from "../../testing/instances";
import { FleetState } from "./fleetState";
import type { Instance } from "./instances";

const ID = anInstance().registration_id;
let fleet: FleetState;

beforeEach(() => {
  fleet = new FleetState();
});

const event = (position: number, kind: string, changed: Partial<Instance> = {}) => {
  const instance = anInstance(changed);
  return fleet.applyEvent({ position, kind, registration_id: instance.registration_id, instance });
};
const known = () => fleet.entries.get(ID);

describe("the state of the fleet", () => {
  it("has what lists and events say", () => {
    fleet.applyPage([anInstance()], 5);
    expect(event(6, "health", { health_status: "degraded" })).toBe(true);
    expect(known()?.instance.health_status).toBe("degraded");
    expect(event(7, "registered", { registration_id: "other" })).toBe(true);
    expect(fleet.entries.size).toBe(2);
  });

  it("does not go back, whether a page or an event is late", () => {
    event(9, "draining", { registration_status: "draining" });
    fleet.applyPage([anInstance()], 8);
    expect(event(7, "updated", { version: "0.1" })).toBe(false);
    expect(event(9, "draining", { version: "0.1" })).toBe(false);
    expect(known()?.instance.registration_status).toBe("draining");
    fleet.applyPage([anInstance({ workload: 3 })], 9);
    expect(known()?.instance.workload).toBe(3);
  });

  it.each(["deregistered", "inactive", "deleted"])(
    "loses an instance that is %s, also if an older page has it",
    (kind) => {
      fleet.applyPage([anInstance()], 1);
      event(4, kind);
      fleet.applyPage([anInstance()], 3);
      expect(known()).toBeUndefined();
      fleet.applyPage([anInstance()], 4);
      expect(known()).toBeDefined();
    },
  );

  it("has an instance again that registers again", () => {
    event(4, "deregistered");
    event(5, "reconnected", { epoch: 2 });
    expect(known()?.instance.epoch).toBe(2);
  });

  it("keeps stale instances, and those whose connection broke", () => {
    event(1, "disconnected");
    expect(known()?.connected).toBe(false);
    fleet.applyPage([anInstance()], 1);
    expect(known()?.connected).toBe(false);
    event(2, "stale", { health_status: "stale" });
    expect(known()).toMatchObject({ connected: true, instance: { health_status: "stale" } });
  });

  it("forgets after a whole list what the list did not name, but not what came meanwhile", () => {
    fleet.applyPage([anInstance(), anInstance({ registration_id: "gone" })], 1);
    event(6, "registered", { registration_id: "new" });
    fleet.keepOnly(new Set([ID]), 5);
    expect([...fleet.entries.keys()].sort()).toEqual([ID, "new"].sort());
  });
});
