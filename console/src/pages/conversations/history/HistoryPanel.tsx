import { GitBranch, MessageSquare, Pencil, Play, X } from "lucide-react";
import { useMemo, useState } from "react";
import { toProblem } from "../../../api/problem";
import { Badge } from "../../../components/Badge";
import { Button } from "../../../components/Button";
import { CopyButton } from "../../../components/CopyButton";
import { classes } from "../../../components/classes";
import { DiffView } from "../../../components/DiffView";
import { JsonButton } from "../../../components/JsonView";
import { ErrorState, LoadingBlock, LoadingRows } from "../../../components/states";
import { Time } from "../../../components/Time";
import { EditStateDialog } from "./EditStateDialog";
import { type Step, stepsOf } from "./steps";
import { parentOf, useHistory, useStateAt } from "./useHistory";

interface Props {
  threadId: string;
  head: string | undefined;
  chosen: string | undefined;
  onChoose: (checkpoint: string | undefined) => void;
  /** Show the messages of the chosen step, which a narrow window has no room for beside the history. */
  onTalk: () => void;
  /** Undefined: the caller may not, or a run is under way. */
  onReplay?: () => Promise<void>;
  onEdited: () => Promise<void>;
  mayEdit: boolean;
}

/** The timeline of a thread, and the step that is chosen in it. */
export function HistoryPanel(props: Props) {
  const { threadId, head, chosen, onChoose } = props;
  const history = useHistory(threadId, head);
  const steps = useMemo(() => stepsOf(history.data?.pages.flat() ?? []), [history.data]);
  return (
    <aside
      aria-label="History"
      className="flex min-h-0 w-full flex-col overflow-hidden rounded-lg border bg-surface lg:w-[26rem] lg:shrink-0"
    >
      <div className={classes("min-h-0 overflow-y-auto", chosen ? "max-h-[38%] shrink-0 border-b" : "flex-1")}>
        {history.isError && <ErrorState error={history.error} onRetry={() => history.refetch()} />}
        {history.isPending && <LoadingRows rows={6} height={48} />}
        <ol aria-label="Steps">
          {steps.map((step) => (
            <StepItem
              key={step.id}
              step={step}
              isChosen={step.id === chosen}
              isHead={step.id === head}
              onChoose={() => onChoose(step.id)}
            />
          ))}
        </ol>
        {history.hasNextPage && (
          <div className="p-2 text-center">
            <Button onClick={() => history.fetchNextPage()} disabled={history.isFetchingNextPage}>
              Load older steps
            </Button>
          </div>
        )}
      </div>
      {chosen && <ChosenStep {...props} checkpoint={chosen} step={steps.find((step) => step.id === chosen)} />}
    </aside>
  );
}

function StepItem({
  step,
  isChosen,
  isHead,
  onChoose,
}: {
  step: Step;
  isChosen: boolean;
  isHead: boolean;
  onChoose: () => void;
}) {
  const number = (step.state.metadata as Record<string, unknown> | null)?.step;
  return (
    <li className="border-b last:border-b-0">
      <button
        type="button"
        aria-current={isChosen ? "step" : undefined}
        onClick={onChoose}
        className={classes(
          "flex w-full items-center gap-3 px-3 py-1.5 text-left focus-visible:-outline-offset-2",
          isChosen ? "bg-accent-wash" : "hover:bg-sunken",
        )}
      >
        <span className="w-6 shrink-0 text-right text-faint tabular-nums">
          {typeof number === "number" && number >= 0 ? number : ""}
        </span>
        <span className="min-w-0 flex-1">
          <span className="flex items-center gap-1.5 font-medium">
            <span className="truncate">{step.title}</span>
            {isHead && <Badge tone="good">now</Badge>}
            {step.waits && <Badge tone="warn">asks</Badge>}
            {step.isBranch && <GitBranch size={13} aria-label="Branch" className="shrink-0 text-accent" />}
          </span>
          <span className="block truncate text-xs text-soft">{step.about}</span>
        </span>
        <span className="text-xs text-soft">
          <Time at={step.at} />
        </span>
      </button>
    </li>
  );
}

function ChosenStep({
  threadId,
  checkpoint,
  step,
  onChoose,
  onTalk,
  onReplay,
  onEdited,
  mayEdit,
}: Props & { checkpoint: string; step: Step | undefined }) {
  const at = useStateAt(threadId, checkpoint);
  const parent = parentOf(at.data);
  const before = useStateAt(threadId, parent);
  const [editing, setEditing] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const replay = () => onReplay?.().catch((thrown) => setProblem(toProblem(thrown).message));
  const hasNext = (at.data?.next.length ?? 0) > 0;
  return (
    <section aria-label="Chosen step" className="flex min-h-0 flex-1 flex-col">
      <header className="flex flex-wrap items-center gap-1 border-b px-2 py-1">
        <h2 className="min-w-0 flex-1 truncate px-1 font-semibold">{step?.title ?? "Step"}</h2>
        <CopyButton text={window.location.href} label="Copy the link to this step" />
        <JsonButton value={at.data} title="State, as the API gives it" />
        <Button look="quiet" onClick={() => onChoose(undefined)} aria-label="Close the step">
          <X size={15} aria-hidden />
        </Button>
      </header>
      <div className="flex flex-wrap gap-2 border-b p-2">
        <Button
          onClick={replay}
          disabled={!onReplay || !hasNext}
          title={hasNext ? undefined : "Nothing is left to run after this step"}
        >
          <Play size={14} aria-hidden />
          Replay from here
        </Button>
        <Button onClick={onTalk} className="lg:hidden">
          <MessageSquare size={14} aria-hidden />
          Messages
        </Button>
        <Button onClick={() => setEditing(true)} disabled={!mayEdit || !at.data}>
          <Pencil size={14} aria-hidden />
          Edit the state
        </Button>
      </div>
      {problem && (
        <p role="alert" className="px-3 py-2 text-bad">
          {problem}
        </p>
      )}
      <div className="min-h-0 flex-1 overflow-y-auto p-3">
        {at.isError ? (
          <ErrorState error={at.error} />
        ) : at.isPending || (parent && before.isPending) ? (
          <LoadingBlock height={160} />
        ) : (
          <>
            <h3 className="mb-1 text-xs font-medium text-faint">
              {parent ? "Changes since the step before" : "The first state"}
            </h3>
            <DiffView before={before.data?.values ?? {}} after={at.data?.values ?? {}} label="Changes of this step" />
          </>
        )}
      </div>
      {at.data && (
        <EditStateDialog
          threadId={threadId}
          state={at.data}
          open={editing}
          onClose={() => setEditing(false)}
          onSaved={onEdited}
        />
      )}
    </section>
  );
}
