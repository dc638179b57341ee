import { type ReactNode, useState } from "react";
import { toProblem } from "../../api/problem";
import { Button } from "../../components/Button";
import { Dialog } from "../../components/Dialog";
import { TextField } from "../../components/Field";

/** Asks before something is done, and with `reason` why. It stays open with the server's words if that fails. */
export function ConfirmDialog({
  title,
  action,
  open,
  onClose,
  onConfirm,
  reason,
  children,
}: {
  title: string;
  /** The words of the button. */
  action: string;
  open: boolean;
  onClose: () => void;
  onConfirm: (reason: string | null) => Promise<unknown>;
  /** An example of a reason; undefined: none is asked for. */
  reason?: string;
  children: ReactNode;
}) {
  const [why, setWhy] = useState("");
  const [state, setState] = useState<{ busy: boolean; error: string | null }>({ busy: false, error: null });
  const close = () => {
    setWhy("");
    setState({ busy: false, error: null });
    onClose();
  };
  const confirm = async () => {
    setState({ busy: true, error: null });
    try {
      await onConfirm(why.trim() || null);
      close();
    } catch (thrown) {
      setState({ busy: false, error: toProblem(thrown).message });
    }
  };
  return (
    <Dialog
      title={title}
      open={open}
      onClose={close}
      footer={
        <>
          <Button onClick={close}>Keep it as it is</Button>
          <Button look="primary" onClick={confirm} disabled={state.busy}>
            {action}
          </Button>
        </>
      }
    >
      <div className="space-y-3">
        {children}
        {reason !== undefined && (
          <TextField
            label="Reason"
            placeholder={reason}
            maxLength={1024}
            value={why}
            onChange={(event) => setWhy(event.target.value)}
            hint="Shown with it. You may leave it empty."
          />
        )}
        {state.error && (
          <p role="alert" className="rounded-md bg-bad-wash px-3 py-2 text-bad wrap-anywhere">
            {state.error}
          </p>
        )}
      </div>
    </Dialog>
  );
}
