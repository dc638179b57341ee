import { type FormEvent, useId, useState } from "react";
import type { Me } from "../../api/me";
import { toProblem } from "../../api/problem";
import { Button } from "../../components/Button";
import { ProblemLine } from "../../components/ConfirmDialog";
import { Dialog } from "../../components/Dialog";
import { SelectField, TextField } from "../../components/Field";
import { EMPTY_FORM, type KeyForm, keyRequest, LIFETIMES, SCOPES } from "./keyRequest";
import { useKeyChanges } from "./useKeys";

const KINDS = [
  { value: "service", title: "Service: calls this API" },
  { value: "instance", title: "Instance: a bot that dials in" },
];
const FIELDS = ["name", "kind", "organizations", "agents", "assistants"];

/** The form for a new key. It closes with the secret. */
export function CreateKeyDialog({
  me,
  open,
  onClose,
}: {
  me: Me | null | undefined;
  open: boolean;
  onClose: (secret: string | null) => void;
}) {
  const id = useId();
  const { create } = useKeyChanges();
  const [form, setForm] = useState<KeyForm>({ ...EMPTY_FORM, organizations: me?.organization_id ?? "" });
  const change = (changed: Partial<KeyForm>) => setForm({ ...form, ...changed });
  const close = (secret: string | null) => {
    create.reset();
    setForm({ ...EMPTY_FORM, organizations: me?.organization_id ?? "" });
    onClose(secret);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate(keyRequest(form), { onSuccess: (made) => close(made.key) });
  };
  const problem = create.error ? toProblem(create.error) : null;
  const errorOf = (field: string) => (problem?.field?.startsWith(field) ? problem.message : null);
  const footer = (
    <>
      <Button onClick={() => close(null)}>Cancel</Button>
      <Button look="primary" type="submit" form={id} disabled={create.isPending}>
        Create
      </Button>
    </>
  );
  const text = (name: "name" | "organizations" | "agents" | "assistants") => ({
    value: form[name],
    error: errorOf(name),
    onChange: (event: { target: { value: string } }) => change({ [name]: event.target.value }),
  });
  return (
    <Dialog title="Create a key" open={open} onClose={() => close(null)} footer={footer}>
      <form id={id} onSubmit={submit} className="space-y-3">
        <TextField label="Name" placeholder="the bot" {...text("name")} />
        <div className="grid grid-cols-2 gap-3">
          <SelectField
            label="For"
            options={KINDS}
            value={form.kind}
            error={errorOf("kind")}
            onChange={(event) => change({ kind: event.target.value as KeyForm["kind"] })}
          />
          <SelectField
            label="Expires after"
            options={LIFETIMES}
            value={form.expiresIn}
            onChange={(event) => change({ expiresIn: event.target.value })}
          />
        </div>
        <TextField label="Organizations" hint="Ids, separated by commas" {...text("organizations")} />
        <Scopes chosen={form.scopes} onChange={(scopes) => change({ scopes })} />
        <TextField label="Bound to agents" hint="Ids of agents of the registry. Empty: all" {...text("agents")} />
        <TextField label="Bound to assistants" hint="Ids of assistants. Empty: all" {...text("assistants")} />
        {problem && !FIELDS.some(errorOf) && <ProblemLine error={problem} />}
      </form>
    </Dialog>
  );
}

function Scopes({ chosen, onChange }: { chosen: string[]; onChange: (scopes: string[]) => void }) {
  const toggle = (scope: string, isOn: boolean) =>
    onChange(isOn ? [...chosen, scope] : chosen.filter((each) => each !== scope));
  return (
    <fieldset>
      <legend className="mb-1 font-medium">Scopes</legend>
      <p className="mb-1 text-xs text-faint">None: all rights of an ordinary member.</p>
      <div className="space-y-1 rounded-md border p-2">
        {SCOPES.map((scope) => (
          <label key={scope.id} className="flex gap-2">
            <input
              type="checkbox"
              className="mt-0.5 size-4 shrink-0 accent-(--accent)"
              checked={chosen.includes(scope.id)}
              onChange={(event) => toggle(scope.id, event.target.checked)}
            />
            <span className="min-w-0">
              <span className="font-mono text-xs">{scope.id}</span>
              <span className="text-faint"> {scope.about}</span>
            </span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
