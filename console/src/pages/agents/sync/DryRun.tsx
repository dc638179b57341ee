import { FlaskConical } from "lucide-react";
import { useState } from "react";
import { Button } from "../../../components/Button";
import { TextField } from "../../../components/Field";
import { JsonButton } from "../../../components/JsonView";
import { Panel } from "../../../components/PageHeader";
import { LoadingRows } from "../../../components/states";
import { formatDuration } from "../../../components/Time";
import { ProblemNote } from "../ProblemNote";
import { ChangeList } from "./ChangeList";
import { type Counters, type SyncReport, type Target, useSync } from "./queries";

/** Shows what a sync would change, and does it when asked. Without `agentId` a scope can be named. */
export function DryRun({ agentId, scope: own, mayApply }: { agentId?: string; scope?: string; mayApply: boolean }) {
  const [scope, setScope] = useState("");
  const plan = useSync(true);
  const apply = useSync(false);
  const target: Target = agentId ? { agent_id: agentId } : scope.trim() ? { scope: scope.trim() } : {};
  const preview = () => {
    apply.reset();
    plan.mutate(target);
  };
  const report = apply.data ?? plan.data;
  return (
    <Panel title="Dry run" actions={report && <JsonButton value={report} title="Report, as the API gives it" />}>
      <form
        className="flex flex-wrap items-end gap-2 border-b p-3"
        onSubmit={(event) => {
          event.preventDefault();
          preview();
        }}
      >
        {!agentId && (
          <div className="w-72 max-w-full">
            <TextField
              label="Scope"
              hint="As in AGENT_SYNC_SCOPE: all, or org:<id>"
              placeholder={own}
              value={scope}
              onChange={(event) => setScope(event.target.value)}
            />
          </div>
        )}
        <div className={agentId ? "" : "pb-5.5"}>
          <Button type="submit" disabled={!mayApply || plan.isPending || apply.isPending}>
            <FlaskConical size={14} aria-hidden /> {plan.isPending ? "Comparing" : "Show what a sync would change"}
          </Button>
        </div>
      </form>
      <div aria-live="polite">
        {plan.isPending && <LoadingRows rows={3} />}
        {[plan.error, apply.error].map((error) => error && <Refusal key={error.message} error={error} />)}
        {!plan.isPending && report && (
          <Report
            report={report}
            isApplying={apply.isPending}
            onApply={mayApply && plan.variables ? () => apply.mutate(plan.variables ?? {}) : undefined}
          />
        )}
        {plan.isIdle && !report && (
          <p className="p-4 text-soft">
            A dry run reads the catalogue and compares it with the assistants. It writes nothing.
          </p>
        )}
      </div>
    </Panel>
  );
}

function Refusal({ error }: { error: Error }) {
  return (
    <div className="p-3">
      <ProblemNote error={error} />
    </div>
  );
}

function Report({ report, isApplying, onApply }: { report: SyncReport; isApplying: boolean; onApply?: () => void }) {
  const { dry_run, counters, changes, changes_not_listed, seconds } = report;
  const changing = counters.created + counters.updated + counters.retired;
  return (
    <>
      <div className="flex min-h-12 flex-wrap items-center justify-between gap-2 border-b px-3 py-2">
        <p>
          <span className="font-medium">{dry_run ? "A sync would change" : "The sync is done:"}</span>{" "}
          {summary(counters)}
          <span className="text-faint"> · {formatDuration(seconds)}</span>
        </p>
        {dry_run && onApply && (
          <Button look="primary" onClick={onApply} disabled={isApplying || changing === 0}>
            {isApplying ? "Applying" : changing === 0 ? "Nothing to apply" : "Apply"}
          </Button>
        )}
      </div>
      <ChangeList changes={changes} isDry={dry_run} />
      {changes_not_listed > 0 && (
        <p className="border-t px-3 py-2 text-soft">{changes_not_listed.toLocaleString("en")} more are not listed.</p>
      )}
    </>
  );
}

const WORDS = ["created", "updated", "retired", "failed", "skipped"] as const;

/** "1 created, 2 updated"; unchanged agents are named last. */
export function summary(counters: Counters): string {
  const parts = WORDS.filter((word) => counters[word] > 0).map(
    (word) => `${counters[word].toLocaleString("en")} ${word === "skipped" ? "unchanged" : word}`,
  );
  return parts.join(", ") || "nothing";
}
