import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { MessagesSquare } from "lucide-react";
import { may, useMe } from "../../api/me";
import { BackLink } from "../../components/BackLink";
import { Badge } from "../../components/Badge";
import { JsonButton } from "../../components/JsonView";
import { PageHeader, Panel } from "../../components/PageHeader";
import { ErrorState, LoadingBlock } from "../../components/states";
import { CancelButton } from "./detail/CancelButton";
import { ErrorPanel } from "./detail/ErrorPanel";
import { RerunButton } from "./detail/RerunButton";
import { RunFacts } from "./detail/RunFacts";
import { type Timeline, timelineQuery } from "./detail/timeline";
import { WaterfallView } from "./detail/WaterfallView";
import { isActive, TONES } from "./run";

/** One run: where its time went, why it failed, and what can be done with it. */
export default function RunPage() {
  const { threadId = "", runId = "" } = useParams({ strict: false }) as { threadId?: string; runId?: string };
  const timeline = useQuery(timelineQuery(threadId, runId));
  return (
    <>
      <BackLink to="/runs">Runs</BackLink>
      {timeline.isPending ? (
        <LoadingPage />
      ) : timeline.isError && !timeline.data ? (
        <>
          <PageHeader title="Run" />
          <ErrorState error={timeline.error} onRetry={() => timeline.refetch()} />
        </>
      ) : timeline.data ? (
        <LoadedRun timeline={timeline.data} threadId={threadId} readAt={timeline.dataUpdatedAt} />
      ) : null}
    </>
  );
}

function LoadingPage() {
  return (
    <>
      <PageHeader title="Run" about={<span className="invisible">Status</span>} />
      <LoadingBlock height={108} />
      <div className="h-4" />
      <LoadingBlock height={320} />
    </>
  );
}

function LoadedRun({ timeline, threadId, readAt }: { timeline: Timeline; threadId: string; readAt: number }) {
  const { run, error, spans, events_expired } = timeline;
  const navigate = useNavigate();
  const me = useMe();
  return (
    <>
      <PageHeader
        title={run.assistant_name ?? run.graph_id}
        about={
          <span className="flex flex-wrap items-center gap-2">
            <Badge tone={TONES[run.status]}>{run.status}</Badge>
            <Link
              to="/agents/$assistantId"
              params={{ assistantId: run.assistant_id }}
              className="hover:text-accent hover:underline"
            >
              Agent
            </Link>
          </span>
        }
        actions={
          <>
            <JsonButton value={timeline} title="Timeline, as the API gives it" />
            <ConversationLink threadId={threadId} />
            {!isActive(run) && may(me.data, "runs.create_in_thread") && <RerunButton run={run} threadId={threadId} />}
            {isActive(run) && may(me.data, "runs.cancel") && (
              <CancelButton threadId={threadId} runId={run.run_id} onGone={() => navigate({ to: "/runs" })} />
            )}
          </>
        }
      />
      <div className="grid grid-cols-1 gap-4">
        <RunFacts timeline={timeline} />
        {error && <ErrorPanel error={error} />}
        <Panel
          title="Timeline"
          actions={<JsonButton value={run.kwargs} title="Input and configuration" label="Input" />}
        >
          <WaterfallView spans={spans} now={new Date(readAt)} />
        </Panel>
        <p className="text-xs text-faint">
          Nodes, model and tool calls have the times of their step, so parallel ones share them. A step under way is not
          shown yet.{events_expired && " The events of this run were deleted after its end."}
        </p>
      </div>
    </>
  );
}

function ConversationLink({ threadId }: { threadId: string }) {
  return (
    <Link
      to="/conversations/$threadId"
      params={{ threadId }}
      className="inline-flex h-8 items-center gap-1.5 rounded-md border border-edge bg-surface px-3 font-medium hover:bg-sunken"
    >
      <MessagesSquare size={14} aria-hidden /> Conversation
    </Link>
  );
}
