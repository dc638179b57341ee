import { Link, useSearch } from "@tanstack/react-router";
import { Suspense } from "react";
import { may, useMe } from "../../api/me";
import { classes } from "../../components/classes";
import { lazyPart } from "../../components/lazyPart";
import { LoadingRows } from "../../components/states";
import { AgentList } from "./AgentList";
import type { Filters } from "./filters";

const SyncPanel = lazyPart(() => import("./sync/SyncPanel"));

/** The list of agents. Administrators can look at agent sync in its place. */
export default function AgentsPage() {
  const filters = useSearch({ strict: false }) as Filters;
  const me = useMe();
  const maySync = me.data !== undefined && may(me.data, "agent_sync.read");
  const switcher = maySync ? <Switcher isSync={filters.view === "sync"} /> : null;
  if (filters.view !== "sync") return <AgentList filters={filters} switcher={switcher} />;
  return (
    <Suspense fallback={<LoadingRows />}>
      <SyncPanel switcher={switcher} maySync={me.data !== undefined && may(me.data, "agent_sync.run")} />
    </Suspense>
  );
}

/** Two links that look like tabs: each has an address of its own. */
function Switcher({ isSync }: { isSync: boolean }) {
  return (
    <nav aria-label="Agents" className="mb-4 flex gap-1 border-b">
      <Choice isCurrent={!isSync} view={undefined} title="List" />
      <Choice isCurrent={isSync} view="sync" title="Sync" />
    </nav>
  );
}

function Choice({ isCurrent, view, title }: { isCurrent: boolean; view: Filters["view"]; title: string }) {
  return (
    <Link
      to="/agents"
      search={{ view }}
      activeOptions={{ explicitUndefined: true }}
      aria-current={isCurrent ? "page" : undefined}
      className={classes(
        "-mb-px border-b-2 px-3 py-2 font-medium",
        isCurrent ? "border-accent text-ink" : "border-transparent text-soft hover:text-ink",
      )}
    >
      {title}
    </Link>
  );
}
