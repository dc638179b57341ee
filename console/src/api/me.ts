import { useQuery } from "@tanstack/react-query";
import { getJson } from "./client";
import { toProblem } from "./problem";
import { useSession } from "./session";

export interface Me {
  identity: string;
  auth_mode: string;
  /** Null: a member of every organization. */
  organizations: string[] | null;
  organization_id: string | null;
  operations: string[];
}

/** The caller. Null: this server does not say, so nothing is hidden from the navigation. */
export function useMe() {
  const { secret, organization } = useSession();
  return useQuery({
    queryKey: ["me", secret, organization],
    queryFn: async (): Promise<Me | null> => {
      try {
        return await getJson<Me>("/me");
      } catch (thrown) {
        const problem = toProblem(thrown);
        if (problem.status === 404 || problem.status === 405) return null;
        throw problem;
      }
    },
    staleTime: 60_000,
  });
}

/** Whether the caller may do an operation. True where the server does not say. */
export function may(me: Me | null | undefined, operation: string | undefined): boolean {
  return !me || !operation || me.operations.includes(operation);
}

/** Whether requests are of one organization, or of none: a member of several has to choose. */
export function hasOrganization(me: Me | null | undefined): boolean {
  return Boolean(me && (me.organization_id || me.organizations === null || me.organizations.length <= 1));
}
