import { getJson } from "../../api/client";
import { authorizedFetch } from "../../api/fetch";
import { apiUrl } from "../../api/location";
import { fromBody, type Problem, toProblem } from "../../api/problem";
import { type Entry, FleetState, type InstanceEvent } from "./fleetState";
import type { Instance } from "./instances";
import { readEvents, type ServerSentEvent } from "./sse";

/** Lists that name together every instance that has not ended. An instance moves from one to the next. */
const LISTS = [{ status: "active" }, { status: "draining" }, { health: "stale" }];
const PAGE_SIZE = 100;
/** Instances that are loaded at most. */
export const MOST_INSTANCES = 20_000;
/** Milliseconds: between what is shown, between two lists, between pages of a later list, before a new attempt. */
const PACE = { show: 250, list: 10_000, page: 1_000, first: 250, most: 15_000 };

export type Connection = "connecting" | "live" | "reconnecting";

export interface Snapshot {
  entries: Entry[];
  /** The first list is whole. */
  complete: boolean;
  /** There are more instances than are loaded. */
  capped: boolean;
  connection: Connection;
  /** Why nothing can be loaded. */
  problem: Problem | null;
}

const EMPTY: Snapshot = { entries: [], complete: false, capped: false, connection: "connecting", problem: null };

interface InstancesPage {
  instances: Instance[];
  next_cursor: string | null;
  position: number;
}

/**
 * The instances of an organization: listed, then kept up to date by `/agents/watch`.
 *
 * - The watch begins at the position of the first page, so nothing is missed between the two.
 * - A watch that breaks goes on with Last-Event-ID. After `compacted` the whole list is read again.
 * - Heartbeats are no events. So the list is read again and again, slowly, for load and leases.
 */
export class FleetFeed {
  private state = new FleetState();
  private shown: Snapshot = EMPTY;
  private readonly listeners = new Set<() => void>();
  private readonly ending = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private position: string | null = null;
  private wake: () => void = () => undefined;
  private again = false;

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  getSnapshot = () => this.shown;

  start() {
    void this.list();
  }

  stop() {
    this.ending.abort();
    clearTimeout(this.timer);
    this.wake();
  }

  /** Read the whole list now. */
  refresh = () => {
    this.again = true;
    this.wake();
  };

  private get isOver() {
    return this.ending.signal.aborted;
  }

  private show(change: Partial<Snapshot>) {
    this.shown = { ...this.shown, ...change, entries: [...this.state.entries.values()] };
    for (const listener of this.listeners) listener();
  }

  private showSoon() {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      if (!this.isOver) this.show({});
    }, PACE.show);
  }

  private pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Read the list, again and again. */
  private async list() {
    let failures = 0;
    while (!this.isOver) {
      const hurry = this.again || !this.shown.complete;
      this.again = false;
      try {
        const capped = await this.listOnce(hurry);
        failures = 0;
        if (!this.isOver) this.show({ complete: true, capped, problem: null });
      } catch (thrown) {
        if (this.isOver) return;
        failures += 1;
        const problem = toProblem(thrown);
        const isFinal = problem.isUnavailable || problem.status === 400;
        // The instances that are known stay on the page while the server is away.
        this.show({ problem: isFinal || this.position === null ? problem : null });
        if (isFinal) return;
      }
      if (this.again || this.isOver) continue;
      await this.pause(failures ? backoff(failures) : document.hidden ? PACE.list * 6 : PACE.list);
    }
  }

  /** Returns whether there are more than are loaded. */
  private async listOnce(hurry: boolean): Promise<boolean> {
    const seen = new Set<string>();
    let from: number | null = null;
    for (const list of LISTS) {
      let cursor: string | undefined;
      do {
        if (from !== null && !hurry && !this.again) await this.pause(PACE.page);
        if (this.isOver) return false;
        const page: InstancesPage = await getJson<InstancesPage>("/agents/instances", {
          ...list,
          limit: PAGE_SIZE,
          cursor,
        });
        if (this.isOver) return false;
        from ??= page.position;
        this.state.applyPage(page.instances, page.position);
        for (const each of page.instances) seen.add(each.registration_id);
        if (this.position === null) this.watchFrom(`${page.position}`);
        this.showSoon();
        cursor = page.next_cursor ?? undefined;
      } while (cursor && seen.size < MOST_INSTANCES);
      if (cursor) return true;
    }
    this.state.keepOnly(seen, from ?? 0);
    return false;
  }

  private watchFrom(position: string) {
    this.position = position;
    void this.watch();
  }

  private async watch() {
    let failures = 0;
    while (!this.isOver) {
      try {
        for await (const event of await this.open()) {
          if (this.isOver) return;
          failures = 0;
          if (event.event === "error") throw fromBody(403, parsed(event), "The watch was refused.");
          this.take(event);
        }
      } catch (thrown) {
        if (this.isOver) return;
        // The instances stay on the page, and are still read from lists.
        if (toProblem(thrown).isUnavailable) return this.show({ connection: "reconnecting" });
      }
      if (this.isOver) return;
      this.show({ connection: "reconnecting" });
      failures += 1;
      await new Promise((resolve) => setTimeout(resolve, backoff(failures)));
    }
  }

  private async open(): Promise<AsyncGenerator<ServerSentEvent>> {
    const headers = { Accept: "text/event-stream", "Last-Event-ID": this.position ?? "0" };
    const response = await authorizedFetch(new URL("agents/watch", apiUrl), { headers, signal: this.ending.signal });
    if (!response.ok || !response.body) {
      throw fromBody(response.status, await response.json().catch(() => null), "The watch was refused.");
    }
    return readEvents(response.body);
  }

  private take(event: ServerSentEvent) {
    this.position = event.id ?? this.position;
    if (event.event === "watching") this.show({ connection: "live" });
    else if (event.event === "compacted") this.refresh();
    else if (event.event === "instance" && this.state.applyEvent(parsed(event) as InstanceEvent)) this.showSoon();
  }
}

const parsed = (event: ServerSentEvent): unknown => JSON.parse(event.data);

const backoff = (failures: number) => Math.random() * Math.min(PACE.most, PACE.first * 2 ** Math.min(failures, 10));
