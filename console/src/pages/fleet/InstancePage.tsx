import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { api, getJson, unwrap } from "../../api/client";
import { BackLink } from "../../components/BackLink";
import { Badge } from "../../components/Badge";
import { CopyButton } from "../../components/CopyButton";
import { JsonButton } from "../../components/JsonView";
import { PageHeader, Panel } from "../../components/PageHeader";
import { ErrorState, LoadingBlock } from "../../components/states";
import { formatDuration, Time } from "../../components/Time";
import { ConditionBadge } from "./ConditionMark";
import { HistoryPanel, type InstanceHistory } from "./HistoryPanel";
import { InstanceActions } from "./InstanceActions";
import { InstanceJobs } from "./InstanceJobs";
import { conditionOf, type Instance } from "./instances";
import { useNow } from "./useFleet";

const EVERY = 5_000;

/** One instance: what it says, what it has in hand, and what happened to it. */
export default function InstancePage() {
  const { registrationId } = useParams({ strict: false }) as { registrationId: string };
  const instance = useQuery({
    queryKey: ["instances", registrationId],
    queryFn: async () => {
      const path = { registration_id: registrationId };
      return (await unwrap(
        api.GET("/agents/instances/{registration_id}", { params: { path } }),
      )) as unknown as Instance;
    },
    refetchInterval: EVERY,
  });
  const history = useQuery({
    queryKey: ["instances", registrationId, "history"],
    queryFn: () => getJson<InstanceHistory>(`/agents/instances/${encodeURIComponent(registrationId)}/history`),
    enabled: instance.isSuccess,
    refetchInterval: (query) => (query.state.error ? false : EVERY),
  });
  const refresh = () => Promise.all([instance.refetch(), history.refetch()]);
  const back = <BackLink to="/fleet">Fleet</BackLink>;

  if (instance.isError && !instance.data) {
    return (
      <>
        {back}
        <PageHeader title="Instance" />
        <ErrorState error={instance.error} onRetry={() => instance.refetch()} />
      </>
    );
  }
  const found = instance.data;
  if (!found) {
    return (
      <>
        {back}
        <PageHeader title="Instance" />
        <LoadingBlock height={320} />
      </>
    );
  }
  return (
    <>
      {back}
      <PageHeader
        title={found.instance_id}
        about={
          <span className="flex flex-wrap items-center gap-2">
            <ConditionBadge condition={conditionOf(found)} />
            <Link to="/fleet" search={{ agent: found.agent_id }} className="text-accent hover:underline">
              {found.agent_id}
            </Link>
            {found.zone && <span>{found.zone}</span>}
          </span>
        }
        actions={
          <>
            <JsonButton value={{ ...found, history: history.data }} title="The instance, as the API gives it" />
            <InstanceActions instance={found} onChange={refresh} />
          </>
        }
      />
      {instance.isError && (
        <p role="alert" className="mb-3 rounded-md bg-warn-wash px-3 py-2 text-warn">
          The server does not answer. This is what it said last.
        </p>
      )}
      <Reasons instance={found} />
      <div className="grid gap-4 lg:grid-cols-2">
        <Panel title="Registration">
          <Facts instance={found} />
        </Panel>
        <HistoryPanel history={history} slots={found.jobs ?? null} />
      </div>
      <div className="mt-4">
        <InstanceJobs instance={found} />
      </div>
    </>
  );
}

/** Why it gets no work, in the words of whoever took it out. */
function Reasons({ instance }: { instance: Instance }) {
  const { cordoned_at, cordoned_by, cordon_reason, status_reason, registration_status } = instance;
  return (
    <>
      {cordoned_at && (
        <p className="mb-3 rounded-md bg-warn-wash px-3 py-2 text-warn wrap-anywhere">
          Cordoned <Time at={cordoned_at} />
          {cordoned_by && ` by ${cordoned_by}`}
          {cordon_reason && `: ${cordon_reason}`}
        </p>
      )}
      {registration_status !== "active" && status_reason && (
        <p className="mb-3 rounded-md bg-sunken px-3 py-2 text-soft wrap-anywhere">
          {`${registration_status === "draining" ? "Draining" : "Ended"}: ${status_reason}`}
        </p>
      )}
    </>
  );
}

function Facts({ instance }: { instance: Instance }) {
  return (
    <dl className="divide-y">
      <Fact name="Lease">
        <Lease instance={instance} />
      </Fact>
      <Fact name="Last heartbeat">
        <Time at={instance.last_health_check} />
      </Fact>
      <Fact name="Load">
        {instance.workload}
        <Extra value={instance.load} title="Load" label="As reported" />
      </Fact>
      <Fact name="Epoch">{instance.epoch}</Fact>
      <Fact name="Version">{instance.version ?? <None />}</Fact>
      <Fact name="Capabilities">
        <Words words={instance.capabilities} />
      </Fact>
      <Fact name="Tags">
        <Words words={instance.tags} />
      </Fact>
      <Fact name="Registered">
        <Time at={instance.connected_at} />
        {instance.registered_by && <span className="truncate text-soft">{`by ${instance.registered_by}`}</span>}
      </Fact>
      <Fact name="First seen">
        <Time at={instance.registered_at} />
      </Fact>
      <Fact name="Id">
        <span className="flex min-w-0 items-center gap-1">
          <code className="font-mono text-xs">{instance.registration_id}</code>
          <CopyButton text={instance.registration_id} label="Copy the id" />
        </span>
      </Fact>
      <Fact name="Reports">
        <span className="-ml-3 flex flex-wrap">
          <Extra value={instance.metrics} title="Metrics" />
          <Extra value={instance.connection_details} title="Connection" />
          <Extra value={instance.runtime_config} title="Runtime configuration" />
        </span>
      </Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="grid min-h-9 grid-cols-[7.5rem_minmax(0,1fr)] items-center gap-2 px-3 py-1">
      <dt className="text-soft">{name}</dt>
      <dd className="flex min-w-0 flex-wrap items-center gap-x-2 gap-y-1 tabular-nums wrap-anywhere">{children}</dd>
    </div>
  );
}

/** How long the lease lasts if no heartbeat comes. The server's clock decides, so this is about right. */
function Lease({ instance }: { instance: Instance }) {
  const now = useNow(1_000);
  const condition = conditionOf(instance);
  if (condition === "ended") return <>over</>;
  if (condition === "stale" || !instance.lease_expires_at) return <>lapsed</>;
  const seconds = (Date.parse(instance.lease_expires_at) - now) / 1000;
  return <>{seconds > 0 ? `expires in ${formatDuration(seconds)} without a heartbeat` : "valid"}</>;
}

const None = () => <span className="text-faint">none</span>;

function Words({ words }: { words: string[] }) {
  return words.length ? words.map((word) => <Badge key={word}>{word}</Badge>) : <None />;
}

/** An object that the instance sent, one click away. Nothing if it is empty. */
function Extra({ value, title, label = title }: { value: Record<string, unknown>; title: string; label?: string }) {
  return Object.keys(value).length ? <JsonButton value={value} title={title} label={label} /> : null;
}
