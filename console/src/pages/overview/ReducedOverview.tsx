import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { langgraph } from "../../api/langgraph";
import { may, useMe } from "../../api/me";
import { pages } from "../../app/pages";
import { PageHeader, Panel } from "../../components/PageHeader";

const STATUSES = [
  { id: "busy", title: "Conversations at work" },
  { id: "interrupted", title: "Conversations that wait for you" },
  { id: "error", title: "Conversations that failed" },
  { id: "idle", title: "Conversations at rest" },
] as const;

/** What there is for a caller who may not see the numbers of the server: what is their own. */
export function ReducedOverview() {
  const me = useMe();
  const agents = useQuery({
    queryKey: ["assistants", "count", {}],
    queryFn: ({ signal }) => langgraph.assistants.count({ signal }),
    enabled: may(me.data, "assistants.search"),
  });
  const threads = useQuery({
    queryKey: ["threads", "count", "by status"],
    queryFn: ({ signal }) => Promise.all(STATUSES.map(({ id }) => langgraph.threads.count({ status: id, signal }))),
    enabled: may(me.data, "threads.search"),
  });
  const others = pages.filter((page) => page.path !== "/overview" && may(me.data, page.operation));
  return (
    <>
      <PageHeader
        title="Overview"
        about="What is yours. The numbers of the whole server are for administrators, and for keys with the scope metrics."
      />
      <div className="grid gap-4 md:grid-cols-2">
        <Panel title="Now">
          <dl>
            {may(me.data, "assistants.search") && (
              <Row name="Agents that you may use">{shown(agents.data, agents.isError)}</Row>
            )}
            {may(me.data, "threads.search") &&
              STATUSES.map(({ id, title }, index) => (
                <Row key={id} name={title}>
                  {shown(threads.data?.[index], threads.isError)}
                </Row>
              ))}
          </dl>
        </Panel>
        <Panel title="Where to go">
          <ul className="py-1">
            {others.map((page) => (
              <li key={page.path}>
                <Link to={page.path} className="flex h-9 items-center gap-2.5 px-3 hover:bg-sunken">
                  <page.icon size={16} strokeWidth={1.75} className="text-faint" aria-hidden />
                  {page.title}
                </Link>
              </li>
            ))}
          </ul>
        </Panel>
      </div>
    </>
  );
}

const shown = (count: number | undefined, failed: boolean) =>
  count === undefined ? <span className="text-faint">{failed ? "unknown" : "…"}</span> : count.toLocaleString("en");

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="flex h-9 items-center justify-between gap-3 px-3">
      <dt className="text-soft">{name}</dt>
      <dd className="font-medium tabular-nums">{children}</dd>
    </div>
  );
}
