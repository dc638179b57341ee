import { useMutation, useQueryClient } from "@tanstack/react-query";
import { CircleStop } from "lucide-react";
import { useState } from "react";
import { langgraph } from "../../../api/langgraph";
import { toProblem } from "../../../api/problem";
import { Button } from "../../../components/Button";
import { Dialog } from "../../../components/Dialog";

type Action = "interrupt" | "rollback";

/** Ends a run that waits or runs: what it has done so far is kept, or the run is taken back as a whole. */
export function CancelButton({ threadId, runId, onGone }: { threadId: string; runId: string; onGone: () => void }) {
  const [open, setOpen] = useState(false);
  const queries = useQueryClient();
  const cancel = useMutation({
    mutationFn: (action: Action) => langgraph.runs.cancel(threadId, runId, false, action),
    onSuccess: async (_, action) => {
      setOpen(false);
      if (action === "rollback") onGone(); // the run is deleted
      await queries.invalidateQueries({ queryKey: ["runs"] });
    },
  });
  return (
    <>
      <Button look="danger" onClick={() => setOpen(true)}>
        <CircleStop size={14} aria-hidden /> Cancel
      </Button>
      <Dialog
        title="Cancel this run?"
        open={open}
        onClose={() => setOpen(false)}
        footer={
          <>
            <Button look="danger" disabled={cancel.isPending} onClick={() => cancel.mutate("rollback")}>
              Take it back
            </Button>
            <Button look="primary" disabled={cancel.isPending} onClick={() => cancel.mutate("interrupt")}>
              Cancel the run
            </Button>
          </>
        }
      >
        <div className="space-y-2">
          <p>The conversation keeps the steps that are done. The run stays in the list as interrupted.</p>
          <p className="text-soft">“Take it back” also deletes the run, and its steps from the conversation.</p>
          {cancel.isError && (
            <p role="alert" className="text-bad">
              {toProblem(cancel.error).message}
            </p>
          )}
        </div>
      </Dialog>
    </>
  );
}
