import { useState } from "react";
import { Button } from "../../components/Button";
import { ProblemLine } from "../../components/ConfirmDialog";
import { Dialog } from "../../components/Dialog";
import { SelectField } from "../../components/Field";
import { OVERLAPS } from "./keyRequest";
import { type Key, useKeyChanges } from "./useKeys";

/** Gives a key a new secret, with a time in which both are valid. */
export function RotateDialog({ target, onClose }: { target: Key | null; onClose: (secret: string | null) => void }) {
  const { rotate } = useKeyChanges();
  const [overlap, setOverlap] = useState("86400");
  const close = (secret: string | null) => {
    rotate.reset();
    onClose(secret);
  };
  const confirm = () =>
    target &&
    rotate.mutate({ prefix: target.prefix, overlap: Number(overlap) }, { onSuccess: (made) => close(made.key) });
  const footer = (
    <>
      <Button onClick={() => close(null)}>Cancel</Button>
      <Button look="primary" onClick={confirm} disabled={rotate.isPending}>
        Rotate
      </Button>
    </>
  );
  return (
    <Dialog title="Give this key a new secret?" open={target !== null} onClose={() => close(null)} footer={footer}>
      <div className="space-y-3 wrap-anywhere">
        <p>
          {target?.name || target?.prefix} keeps its prefix, rights and identity. Set the new secret where the old one
          is used.
        </p>
        <SelectField
          label="Overlap"
          hint="How long the old secret stays valid"
          options={OVERLAPS}
          value={overlap}
          onChange={(event) => setOverlap(event.target.value)}
        />
        <ProblemLine error={rotate.error} />
      </div>
    </Dialog>
  );
}
