import type { Instance } from "./instances";

/** A change of an instance, as `/agents/watch` sends it. */
export interface InstanceEvent {
  position: number;
  kind: string;
  registration_id: string;
  instance: Instance;
}

/** `position`: of the event or the list that said this. `order`: sorts "bot-9" before "bot-10". */
export interface Entry {
  instance: Instance;
  position: number;
  connected: boolean;
  order: string;
}

/**
 * The instances that have not ended, from pages of lists and from events.
 *
 * - Of two words about one instance, that of the higher position holds. A page may be older than an event.
 * - An instance that ended stays out, whatever an older page says.
 */
export class FleetState {
  readonly entries = new Map<string, Entry>();
  private readonly ended = new Map<string, number>();

  /** Take a page of a list that was read at `position`, or after it. */
  applyPage(instances: Instance[], position: number) {
    for (const instance of instances) {
      const id = instance.registration_id;
      const known = this.entries.get(id);
      if ((known?.position ?? 0) > position || (this.ended.get(id) ?? 0) > position) continue;
      this.put(instance, position, known?.connected ?? true, known);
    }
    for (const [id, at] of this.ended) if (at <= position) this.ended.delete(id);
  }

  /** Take an event. False: a later word is known. */
  applyEvent({ position, kind, registration_id: id, instance }: InstanceEvent): boolean {
    const known = this.entries.get(id);
    if ((known?.position ?? 0) >= position || (this.ended.get(id) ?? 0) >= position) return false;
    if (ENDS.has(kind)) {
      this.entries.delete(id);
      this.ended.set(id, position);
      return true;
    }
    this.ended.delete(id);
    this.put(instance, position, kind !== "disconnected", known);
    return true;
  }

  /** After a whole list from `position` on: what it did not name, and no later event did, is no longer there. */
  keepOnly(seen: Set<string>, position: number) {
    for (const [id, entry] of this.entries) if (!seen.has(id) && entry.position <= position) this.entries.delete(id);
  }

  private put(instance: Instance, position: number, connected: boolean, known: Entry | undefined) {
    const order = known?.order ?? sortable(instance.instance_id);
    this.entries.set(instance.registration_id, { instance, position, connected, order });
  }
}

const ENDS = new Set(["deregistered", "inactive", "deleted"]);

const sortable = (text: string) => text.replace(/\d+/g, (digits) => digits.padStart(10, "0"));
