import type { ReactNode } from "react";
import { toProblem } from "../api/problem";
import { Button } from "./Button";
import { Dialog } from "./Dialog";

/** What TanStack Query gives for a change: whether it runs, and why it failed. */
interface Change {
  isPending: boolean;
  error: unknown;
  reset: () => void;
}

/** Asks before something that cannot be undone. It stays open until the change has succeeded. */
export function ConfirmDialog({
  title,
  action,
  open,
  change,
  onConfirm,
  onClose,
  children,
}: {
  title: string;
  action: string;
  open: boolean;
  change: Change;
  onConfirm: () => void;
  onClose: () => void;
  children: ReactNode;
}) {
  const close = () => {
    change.reset();
    onClose();
  };
  const footer = (
    <>
      <Button onClick={close}>Cancel</Button>
      <Button look="danger" onClick={onConfirm} disabled={change.isPending}>
        {action}
      </Button>
    </>
  );
  return (
    <Dialog title={title} open={open} onClose={close} footer={footer}>
      <div className="space-y-3 wrap-anywhere">
        {children}
        <ProblemLine error={change.error} />
      </div>
    </Dialog>
  );
}

/** Why a change failed, in the server's words. */
export function ProblemLine({ error }: { error: unknown }) {
  if (!error) return null;
  return (
    <p role="alert" className="rounded-md bg-bad-wash px-3 py-2 text-bad wrap-anywhere">
      {toProblem(error).message}
    </p>
  );
}
