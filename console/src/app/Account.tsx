import { useQueryClient } from "@tanstack/react-query";
import { Building2, LogOut } from "lucide-react";
import type { Me } from "../api/me";
import { chooseOrganization, signOut, useSession } from "../api/session";
import { IconButton } from "../components/Button";
import { SelectField } from "../components/Field";

/** Who is signed in, the organization that requests name, and the way out. */
export function Account({ me }: { me: Me | null | undefined }) {
  const session = useSession();
  const queries = useQueryClient();
  const change = (apply: () => void) => {
    apply();
    queries.resetQueries();
  };
  return (
    <div className="flex min-w-0 flex-1 items-center gap-1">
      <div className="min-w-0 flex-1">
        {me && (
          <p className="truncate px-1 text-soft" title={me.identity}>
            {me.identity}
          </p>
        )}
        {me?.organizations && me.organizations.length > 1 && (
          <SelectField
            label="Organization"
            hideLabel
            value={session.organization ?? me.organization_id ?? ""}
            onChange={(event) => change(() => chooseOrganization(event.target.value || null))}
            options={[
              { value: "", title: "No organization" },
              ...me.organizations.map((id) => ({ value: id, title: id })),
            ]}
          />
        )}
      </div>
      {me?.organizations === null && session.organization && (
        <IconButton
          label={`Requests name the organization ${session.organization}. Name none`}
          onClick={() => change(() => chooseOrganization(null))}
        >
          <Building2 size={16} strokeWidth={1.75} />
        </IconButton>
      )}
      {session.kind && (
        <IconButton label="Sign out" onClick={() => change(signOut)}>
          <LogOut size={16} strokeWidth={1.75} />
        </IconButton>
      )}
    </div>
  );
}
