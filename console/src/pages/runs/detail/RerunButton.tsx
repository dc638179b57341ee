import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { RotateCw } from "lucide-react";
import { useState } from "react";
import { langgraph } from "../../../api/langgraph";
import { toProblem } from "../../../api/problem";
import { Button } from "../../../components/Button";
import { Dialog } from "../../../components/Dialog";
import { JsonView } from "../../../components/JsonView";
import type { ListedRun } from "../run";
import { rerunOf } from "./rerun";

/** Starts a run with the same input in the same conversation, and goes to it. */
export function RerunButton({ run, threadId }: { run: ListedRun; threadId: string }) {
  const [open, setOpen] = useState(false);
  const queries = useQueryClient();
  const navigate = useNavigate();
  const { assistant_id, payload } = rerunOf(run);
  const rerun = useMutation({
    mutationFn: () => langgraph.runs.create(threadId, assistant_id, payload),
    onSuccess: async (made) => {
      setOpen(false);
      navigate({ to: "/runs/$threadId/$runId", params: { threadId, runId: made.run_id } });
      await queries.invalidateQueries({ queryKey: ["runs"] });
    },
  });
  return (
    <>
      <Button onClick={() => setOpen(true)}>
        <RotateCw size={14} aria-hidden /> Run again
      </Button>
      <Dialog
        title="Run this again?"
        open={open}
        onClose={() => setOpen(false)}
        footer={
          <Button look="primary" disabled={rerun.isPending} onClick={() => rerun.mutate()}>
            {rerun.isPending ? "Starting" : "Start the run"}
          </Button>
        }
      >
        <div className="space-y-3">
          <p>
            A new run starts in the same conversation, after what is there now, with the agent's present configuration.
          </p>
          <JsonView value={payload} maxHeight={260} />
          {rerun.isError && (
            <p role="alert" className="text-bad">
              {toProblem(rerun.error).message}
            </p>
          )}
        </div>
      </Dialog>
    </>
  );
}
