import type { ThreadState } from "@langchain/langgraph-sdk";
import { useEffect, useState } from "react";
import { langgraph } from "../../../api/langgraph";
import { toProblem } from "../../../api/problem";
import { Button } from "../../../components/Button";
import { Dialog } from "../../../components/Dialog";
import { DiffView } from "../../../components/DiffView";
import { TextArea, TextField } from "../../../components/Field";
import { parseObject } from "../compose/json";
import { updateOf } from "./steps";
import { checkpointOf } from "./useHistory";

/** Write a new state behind a checkpoint: a branch, or the thread's next state. The old one stays. */
export function EditStateDialog({
  threadId,
  state,
  open,
  onClose,
  onSaved,
}: {
  threadId: string;
  state: ThreadState;
  open: boolean;
  onClose: () => void;
  onSaved: () => Promise<void>;
}) {
  const values = (state.values ?? {}) as Record<string, unknown>;
  const [text, setText] = useState("");
  const [asNode, setAsNode] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [saving, setSaving] = useState(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each opening begins with the state as it is
  useEffect(() => {
    if (!open) return;
    setText(JSON.stringify(values, null, 2));
    setProblem(null);
  }, [open]);
  const parsed = parseObject(text);
  const update = "value" in parsed ? updateOf(values, parsed.value) : {};
  const hasChanges = Object.keys(update).length > 0;
  const removed = "value" in parsed ? Object.keys(values).filter((name) => !(name in parsed.value)) : [];
  const wrong =
    "error" in parsed
      ? parsed.error
      : removed.length
        ? `A member of the state cannot be removed: ${removed.join(", ")}. Set it to another value.`
        : null;

  const save = async () => {
    setSaving(true);
    setProblem(null);
    try {
      await langgraph.threads.updateState(threadId, {
        values: update,
        checkpointId: checkpointOf(state),
        asNode: asNode.trim() || undefined,
      });
      onClose();
      await onSaved();
    } catch (thrown) {
      setProblem(toProblem(thrown).message);
    } finally {
      setSaving(false);
    }
  };

  return (
    <Dialog
      title="Edit the state"
      open={open}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="primary" onClick={save} disabled={saving || wrong !== null || !hasChanges}>
            Save as a new step
          </Button>
        </>
      }
    >
      <div className="space-y-3">
        <TextArea
          label="State as JSON"
          code
          value={text}
          rows={14}
          spellCheck={false}
          error={wrong}
          onChange={(event) => setText(event.target.value)}
        />
        <TextField
          label="As if written by the node (optional)"
          hint="The graph goes on behind this node. Without it, the node is the last one that wrote."
          value={asNode}
          onChange={(event) => setAsNode(event.target.value)}
        />
        {"value" in parsed && hasChanges && <DiffView before={values} after={parsed.value} label="What you change" />}
        {problem && (
          <p role="alert" className="wrap-anywhere text-bad">
            {problem}
          </p>
        )}
      </div>
    </Dialog>
  );
}
