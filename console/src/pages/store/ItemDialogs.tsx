import { type FormEvent, useId, useState } from "react";
import { toProblem } from "../../api/problem";
import { Button } from "../../components/Button";
import { ConfirmDialog, ProblemLine } from "../../components/ConfirmDialog";
import { Dialog } from "../../components/Dialog";
import { TextArea, TextField } from "../../components/Field";
import { JsonView } from "../../components/JsonView";
import { Time } from "../../components/Time";
import { parseObject } from "./place";
import { type Item, useStoreChanges } from "./useStore";

/** An item as JSON, with the ways to change it. */
export function ItemDialog({
  item,
  mayWrite,
  onClose,
  onEdit,
  onDelete,
}: {
  item: Item | null;
  mayWrite: boolean;
  onClose: () => void;
  onEdit: (item: Item) => void;
  onDelete: (item: Item) => void;
}) {
  const footer = mayWrite && item && (
    <>
      <Button look="danger" onClick={() => onDelete(item)}>
        Delete
      </Button>
      <Button onClick={() => onEdit(item)}>Edit</Button>
    </>
  );
  return (
    <Dialog title={item?.key ?? ""} open={item !== null} onClose={onClose} footer={footer}>
      {item && (
        <>
          <p className="mb-3 text-soft wrap-anywhere">
            {item.namespace.join(" / ")} · created <Time at={item.createdAt} /> · updated <Time at={item.updatedAt} />
          </p>
          <JsonView value={item.value} />
        </>
      )}
    </Dialog>
  );
}

export interface Draft {
  namespace: string;
  key: string;
  value: string;
  /** The name of an item that exists cannot be edited. */
  isNew: boolean;
}

/** The form for an item, new or not. */
export function EditDialog({ draft, onClose }: { draft: Draft; onClose: () => void }) {
  const id = useId();
  const { put } = useStoreChanges();
  const [form, setForm] = useState(draft);
  const change = (changed: Partial<Draft>) => setForm({ ...form, ...changed });
  const value = parseObject(form.value);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (value) put.mutate({ namespace: form.namespace.split("."), key: form.key, value }, { onSuccess: onClose });
  };
  const problem = put.error ? toProblem(put.error) : null;
  const errorOf = (field: string) => (problem?.field === field ? problem.message : null);
  const footer = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button look="primary" type="submit" form={id} disabled={!value || put.isPending}>
        Save
      </Button>
    </>
  );
  return (
    <Dialog title={draft.isNew ? "Create an item" : "Edit an item"} open onClose={onClose} footer={footer}>
      <form id={id} onSubmit={submit} className="space-y-3">
        <TextField
          label="Namespace"
          hint="Labels, joined by periods"
          required
          disabled={!draft.isNew}
          value={form.namespace}
          error={errorOf("namespace")}
          onChange={(event) => change({ namespace: event.target.value })}
        />
        <TextField
          label="Key"
          required
          disabled={!draft.isNew}
          value={form.key}
          error={errorOf("key")}
          onChange={(event) => change({ key: event.target.value })}
        />
        <TextArea
          label="Value"
          rows={12}
          spellCheck={false}
          value={form.value}
          error={value ? errorOf("value") : "The value is a JSON object."}
          onChange={(event) => change({ value: event.target.value })}
        />
        {problem && !["namespace", "key", "value"].some(errorOf) && <ProblemLine error={problem} />}
      </form>
    </Dialog>
  );
}

export function DeleteDialog({ item, onClose }: { item: Item | null; onClose: () => void }) {
  const { remove } = useStoreChanges();
  return (
    <ConfirmDialog
      title="Delete this item?"
      action="Delete"
      open={item !== null}
      change={remove}
      onConfirm={() => item && remove.mutate(item, { onSuccess: onClose })}
      onClose={onClose}
    >
      <p>
        <b>{item?.key}</b> in {item?.namespace.join(" / ")} is gone for every agent that reads it.
      </p>
    </ConfirmDialog>
  );
}
