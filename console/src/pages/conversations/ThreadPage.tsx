import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { History } from "lucide-react";
import { useMemo, useState } from "react";
import { may, useMe } from "../../api/me";
import { BackLink } from "../../components/BackLink";
import { Badge } from "../../components/Badge";
import { Button } from "../../components/Button";
import { CopyButton } from "../../components/CopyButton";
import { JsonButton, JsonView } from "../../components/JsonView";
import { PageHeader } from "../../components/PageHeader";
import { ErrorState, LoadingRows } from "../../components/states";
import { Composer } from "./compose/Composer";
import { HistoryPanel } from "./history/HistoryPanel";
import { useStateAt } from "./history/useHistory";
import { InterruptForms } from "./interrupts/InterruptForms";
import { STATUS_TONES } from "./status";
import { textOf } from "./thread/content";
import { split } from "./thread/reducer";
import { interruptsOf, type Snapshot, type ThreadSession } from "./thread/session";
import { useThread } from "./thread/useThread";
import { Transcript } from "./transcript/Transcript";

const TITLE = 90;
const back = <BackLink to="/conversations">Conversations</BackLink>;

interface Search {
  checkpoint?: string;
  history?: boolean;
}

/** One conversation: its messages, what its runs add to them, and its history. */
export default function ThreadPage() {
  const { threadId } = useParams({ strict: false }) as { threadId: string };
  const { session, ...snapshot } = useThread(threadId);
  if (snapshot.connection === "closed") {
    return (
      <>
        {back}
        <PageHeader title="Conversation" />
        <ErrorState error={snapshot.problem} />
      </>
    );
  }
  if (!snapshot.thread && snapshot.conversation.messages.length === 0) {
    return (
      <>
        {back}
        <PageHeader title="Conversation" />
        {snapshot.problem ? <ErrorState error={snapshot.problem} /> : <LoadingRows rows={6} height={64} />}
      </>
    );
  }
  return <OpenThread session={session} snapshot={snapshot} />;
}

function OpenThread({ session, snapshot }: { session: ThreadSession; snapshot: Snapshot }) {
  const { conversation, thread, state } = snapshot;
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const me = useMe();
  const [chosen, setChosen] = useState<string>();
  const past = useStateAt(session.threadId, search.checkpoint);
  const shown = useMemo(
    () =>
      search.checkpoint
        ? { ...split((past.data?.values ?? {}) as Record<string, unknown>), live: false }
        : { messages: conversation.messages, rest: conversation.values, live: true },
    [search.checkpoint, past.data, conversation],
  );
  const agentId = chosen ?? (thread?.metadata?.assistant_id as string | undefined);
  const running = conversation.run !== null;
  const maySend = may(me.data, "runs.create_in_thread");
  const show = (changed: Search) =>
    navigate({ to: "/conversations/$threadId", params: { threadId: session.threadId }, search: changed } as never);
  const start = async (run: Parameters<ThreadSession["start"]>[0], message: Parameters<ThreadSession["start"]>[1]) => {
    await session.start({ ...run, checkpointId: search.checkpoint }, message);
    if (search.checkpoint) await show({ history: search.history });
  };
  const subject = textOf(conversation.messages.find((message) => message.type === "human")?.content);

  return (
    <div className="flex h-[calc(100dvh-5.75rem)] flex-col md:h-[calc(100dvh-3rem)]">
      {back}
      <PageHeader
        title={subject ? shortened(subject) : "Conversation"}
        about={<Status snapshot={snapshot} />}
        actions={
          <>
            <CopyButton text={window.location.href} label="Copy the link to this page" />
            <JsonButton
              value={{ thread: withoutValues(thread), state: search.checkpoint ? past.data : state }}
              title="Thread and state, as the API gives them"
            />
            <Button
              look={search.history ? "plain" : "quiet"}
              aria-pressed={search.history ?? false}
              onClick={() => show({ checkpoint: search.checkpoint, history: search.history ? undefined : true })}
            >
              <History size={15} aria-hidden />
              History
            </Button>
          </>
        }
      />
      <div className="flex min-h-0 flex-1 gap-4">
        <div className={`flex min-w-0 flex-1 flex-col ${search.history ? "max-lg:hidden" : ""}`}>
          {search.checkpoint && past.isError ? (
            <ErrorState error={past.error} />
          ) : (
            <Transcript key={search.checkpoint ?? "now"} messages={shown.messages} running={running && shown.live}>
              <Values values={shown.rest} />
              {shown.live && <Ending snapshot={snapshot} agentId={agentId} start={start} maySend={maySend} />}
            </Transcript>
          )}
          {search.checkpoint && <PastNotice onReturn={() => show({ history: search.history })} />}
          <Composer
            agentId={agentId}
            onAgent={setChosen}
            running={running}
            onSend={({ message, ...run }) => start(run, message)}
            onCancel={() => session.cancel()}
            maySend={maySend}
            mayCancel={may(me.data, "runs.cancel")}
          />
        </div>
        {search.history && (
          <HistoryPanel
            threadId={session.threadId}
            head={state?.checkpoint?.checkpoint_id ?? undefined}
            chosen={search.checkpoint}
            onChoose={(checkpoint) => show({ history: true, checkpoint })}
            onTalk={() => show({ checkpoint: search.checkpoint })}
            onReplay={
              agentId && maySend && !running ? () => start({ assistantId: agentId, input: null }, null) : undefined
            }
            onEdited={async () => {
              await session.reload();
              await show({ history: true });
            }}
            mayEdit={may(me.data, "threads.update") && !running}
          />
        )}
      </div>
    </div>
  );
}

/** What stands below the messages: the run under way, its questions, its error, or where it stopped. */
function Ending({
  snapshot: { conversation, state },
  agentId,
  start,
  maySend,
}: {
  snapshot: Snapshot;
  agentId: string | undefined;
  start: (run: Parameters<ThreadSession["start"]>[0], message: null) => Promise<void>;
  maySend: boolean;
}) {
  const { run, error, interrupts } = conversation;
  if (run) return <Working started={run.started} />;
  const next = state && interruptsOf(state).length === 0 && !error ? state.next : [];
  return (
    <>
      {error && (
        <div role="alert" className="rounded-md border border-bad/40 bg-bad-wash p-3 text-bad">
          <p className="font-medium wrap-anywhere">{error.error}</p>
          <p className="wrap-anywhere whitespace-pre-wrap">{error.message}</p>
        </div>
      )}
      {interrupts.length > 0 && (
        <InterruptForms
          interrupts={interrupts}
          disabled={!agentId || !maySend}
          onAnswer={(command) => start({ assistantId: agentId ?? "", command }, null)}
        />
      )}
      {next.length > 0 && interrupts.length === 0 && (
        <div className="flex items-center justify-between gap-3 rounded-md border bg-surface p-3">
          <p>
            Stopped before <code className="font-mono text-xs">{next.join(", ")}</code>
          </p>
          <Button
            disabled={!agentId || !maySend}
            onClick={() => start({ assistantId: agentId ?? "", input: null }, null)}
          >
            Go on
          </Button>
        </div>
      )}
    </>
  );
}

function Working({ started }: { started: boolean }) {
  return (
    <p role="status" className="flex h-6 items-center gap-2 text-soft">
      <span className="size-2 animate-pulse rounded-full bg-accent" aria-hidden />
      {started ? "Working" : "Waiting for a worker"}
    </p>
  );
}

/** The state beside the messages. For a graph without messages it is the answer. */
function Values({ values }: { values: Record<string, unknown> }) {
  if (Object.keys(values).length === 0) return null;
  return (
    <section aria-label="State">
      <h2 className="mb-1 text-xs font-medium text-faint">State</h2>
      <JsonView value={values} maxHeight={320} />
    </section>
  );
}

function Status({ snapshot: { conversation, connection, thread } }: { snapshot: Snapshot }) {
  if (connection === "lost") return <Badge tone="warn">Connection lost, trying again</Badge>;
  const status = conversation.run ? "busy" : thread?.status === "busy" ? "idle" : (thread?.status ?? "busy");
  return <Badge tone={STATUS_TONES[status] ?? "neutral"}>{status}</Badge>;
}

function PastNotice({ onReturn }: { onReturn: () => void }) {
  return (
    <div className="mx-auto mb-2 flex w-full max-w-3xl items-center justify-between gap-3 rounded-md bg-warn-wash px-3 py-1.5 text-warn">
      <p>An earlier step. A message from here makes a branch.</p>
      <Button look="quiet" className="!text-warn" onClick={onReturn}>
        Back to now
      </Button>
    </div>
  );
}

function withoutValues(thread: Snapshot["thread"]) {
  if (!thread) return null;
  const { values: _, ...rest } = thread;
  return rest;
}

const shortened = (text: string) => (text.length > TITLE ? `${text.slice(0, TITLE)}…` : text);
