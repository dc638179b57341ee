import type { Assistant, AssistantVersion } from "@langchain/langgraph-sdk";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { RotateCcw } from "lucide-react";
import { useState } from "react";
import { langgraph } from "../../../api/langgraph";
import { Button } from "../../../components/Button";
import { Dialog } from "../../../components/Dialog";
import { DiffView } from "../../../components/DiffView";
import { ProblemNote } from "../ProblemNote";
import { isSynced } from "../source";
import { versionsQuery } from "./queries";
import { textOfVersion } from "./readableText";

/** Makes an earlier version the served one, after it has shown what that changes. */
export function RestoreButton({ agent, version }: { agent: Assistant; version: AssistantVersion }) {
  const [open, setOpen] = useState(false);
  const queries = useQueryClient();
  const restore = useMutation({
    mutationFn: () => langgraph.assistants.setLatest(agent.assistant_id, version.version),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ["assistants"] });
      setOpen(false);
    },
  });
  const served = queries
    .getQueryData(versionsQuery(agent.assistant_id).queryKey)
    ?.find((each) => each.version === agent.version);
  return (
    <>
      <Button onClick={() => setOpen(true)}>
        <RotateCcw size={14} aria-hidden /> Restore
      </Button>
      <Dialog
        title={`Serve version ${version.version} of ${agent.name}?`}
        open={open}
        onClose={() => setOpen(false)}
        footer={
          <>
            <Button onClick={() => setOpen(false)}>Keep version {agent.version}</Button>
            <Button look="primary" disabled={restore.isPending} onClick={() => restore.mutate()}>
              {restore.isPending ? "Restoring" : `Restore version ${version.version}`}
            </Button>
          </>
        }
      >
        <div className="grid grid-cols-1 gap-3">
          <p>New runs use this version. Runs that are under way keep theirs.</p>
          {isSynced(agent) && (
            <p className="text-soft">
              The agent comes from the catalogue: the next sync writes a new version if its row differs.
            </p>
          )}
          {served && (
            <DiffView before={textOfVersion(served)} after={textOfVersion(version)} label="Restored changes" />
          )}
          {restore.isError && <ProblemNote error={restore.error} />}
        </div>
      </Dialog>
    </>
  );
}
