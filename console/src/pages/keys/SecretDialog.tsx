import { Button } from "../../components/Button";
import { CopyButton } from "../../components/CopyButton";
import { Dialog } from "../../components/Dialog";

/** Shows a new secret once. The server does not store it, and the page forgets it when the dialog closes. */
export function SecretDialog({ secret, onClose }: { secret: string | null; onClose: () => void }) {
  return (
    <Dialog
      title="Copy the key now"
      open={secret !== null}
      onClose={onClose}
      footer={
        <Button look="primary" onClick={onClose}>
          Done
        </Button>
      }
    >
      <p className="mb-3 text-soft">It is shown this once and stored nowhere. Put it into a secret store.</p>
      <div className="flex items-start gap-2 rounded-md border bg-sunken p-2">
        <code className="min-w-0 flex-1 font-mono text-xs leading-7 wrap-anywhere">{secret}</code>
        <CopyButton text={secret ?? ""} label="Copy the key" />
      </div>
    </Dialog>
  );
}
