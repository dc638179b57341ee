import { Link } from "@tanstack/react-router";
import { Briefcase } from "lucide-react";
import { type ReactNode, useState } from "react";
import { may, useMe } from "../../api/me";
import { Badge } from "../../components/Badge";
import { Button } from "../../components/Button";
import { type Column, DataTable } from "../../components/DataTable";
import { Dialog } from "../../components/Dialog";
import { JsonView } from "../../components/JsonView";
import { EmptyState } from "../../components/states";
import { formatDuration, Time } from "../../components/Time";
import { cancelJob } from "./actions";
import { ConfirmDialog } from "./ConfirmDialog";
import { isOver, JOB_TONES, type Job, secondsBetween } from "./jobs";

/** Jobs, with what they have cost so far. `onChange` is called after one is cancelled. */
export function JobsTable({
  jobs,
  loading,
  onChange,
  empty,
}: {
  jobs: Job[];
  loading: boolean;
  onChange: () => unknown;
  empty?: ReactNode;
}) {
  const me = useMe();
  const [shown, setShown] = useState<Job | null>(null);
  const [cancelled, setCancelled] = useState<Job | null>(null);
  const mayCancel = may(me.data, "jobs.cancel");
  const columns: Column<Job>[] = [
    {
      id: "job",
      title: "Job",
      width: "7rem",
      cell: (job) => (
        <button type="button" className="font-mono text-xs text-accent hover:underline" onClick={() => setShown(job)}>
          {job.job_id.slice(0, 8)}
          <span className="sr-only"> as JSON</span>
        </button>
      ),
    },
    {
      id: "state",
      title: "State",
      width: "6.5rem",
      cell: (job) => <Badge tone={JOB_TONES[job.state] ?? "neutral"}>{job.state}</Badge>,
      sortBy: (job) => job.state,
    },
    { id: "agent", title: "Agent", width: "minmax(0, 1.4fr)", cell: (job) => job.agent_id, secondary: true },
    {
      id: "instance",
      title: "Instance",
      width: "minmax(0, 1.6fr)",
      cell: (job) =>
        job.registration_id ? (
          <Link
            to="/fleet/$registrationId"
            params={{ registrationId: job.registration_id }}
            className="text-accent hover:underline"
            preload={false}
          >
            {job.instance_id ?? job.registration_id}
          </Link>
        ) : (
          <span className="text-faint">none yet</span>
        ),
    },
    {
      id: "attempt",
      title: "Attempt",
      width: "5rem",
      align: "right",
      cell: (job) => `${job.attempt} of ${job.max_attempts}`,
      secondary: true,
    },
    { id: "created", title: "Created", width: "7.5rem", cell: (job) => <Time at={job.created_at} />, secondary: true },
    {
      id: "seconds",
      title: "Ran",
      width: "6rem",
      align: "right",
      cell: (job) => {
        const seconds = secondsBetween(job.accepted_at, job.ended_at);
        return seconds === null ? "–" : formatDuration(seconds);
      },
      secondary: true,
    },
    {
      id: "cancel",
      title: "",
      width: "5rem",
      align: "right",
      cell: (job) =>
        mayCancel && !isOver(job) ? (
          <Button
            look="quiet"
            className="h-7"
            onClick={() => setCancelled(job)}
            aria-label={`Cancel job ${job.job_id.slice(0, 8)}`}
          >
            Cancel
          </Button>
        ) : null,
    },
  ];
  return (
    <>
      <DataTable
        label="Jobs"
        rows={jobs}
        columns={columns}
        rowId={(job) => job.job_id}
        onOpen={setShown}
        loading={loading}
        empty={empty ?? <EmptyState icon={Briefcase} title="No jobs" />}
      />
      <Dialog title={`Job ${shown?.job_id ?? ""}`} open={shown !== null} onClose={() => setShown(null)}>
        <JsonView value={shown} />
      </Dialog>
      <ConfirmDialog
        title={`Cancel job ${cancelled?.job_id.slice(0, 8) ?? ""}`}
        action="Cancel the job"
        reason="The user stopped it"
        open={cancelled !== null}
        onClose={() => setCancelled(null)}
        onConfirm={async (reason) => {
          if (cancelled) await cancelJob(cancelled.job_id, reason, GRACE_SECONDS);
          await onChange();
        }}
      >
        <p>
          {cancelled?.accepted_at
            ? `${cancelled.instance_id} is told to stop and has ${GRACE_SECONDS} seconds for it.`
            : "No instance has begun it, so it ends at once."}{" "}
          Its run ends as cancelled.
        </p>
      </ConfirmDialog>
    </>
  );
}

const GRACE_SECONDS = 10;
