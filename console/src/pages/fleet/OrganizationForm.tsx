import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { chooseOrganization } from "../../api/session";
import { Button } from "../../components/Button";
import { TextField } from "../../components/Field";
import { Panel } from "../../components/PageHeader";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Asks which organization requests are for, of a caller that may act for several. */
export function OrganizationForm({ message }: { message: string }) {
  const queries = useQueryClient();
  const [id, setId] = useState("");
  const [error, setError] = useState<string | null>(null);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!UUID.test(id.trim())) return setError("The id of an organization is a UUID.");
    chooseOrganization(id.trim());
    void queries.resetQueries();
  };
  return (
    <Panel title="Choose an organization">
      <form onSubmit={submit} className="flex max-w-xl flex-col gap-3 p-4">
        <p className="text-soft">{message}</p>
        <TextField
          label="Organization"
          value={id}
          onChange={(event) => setId(event.target.value)}
          error={error}
          hint="Its id. The console sends it with each request until you sign out."
          spellCheck={false}
        />
        <div>
          <Button type="submit" look="primary">
            Show its instances
          </Button>
        </div>
      </form>
    </Panel>
  );
}
