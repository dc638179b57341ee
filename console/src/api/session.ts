import { useSyncExternalStore } from "react";

export type CredentialKind = "key" | "token";

/** The credentials of the user, and the organization that requests name. */
export interface Session {
  kind: CredentialKind | null;
  secret: string;
  organization: string | null;
  /** The server refused the last request without credentials, or with these. */
  refused: boolean;
}

const STORED = "agenthall.session";
const NOBODY: Session = { kind: null, secret: "", organization: null, refused: false };

let session: Session = read();
const listeners = new Set<() => void>();

function read(): Session {
  try {
    return { ...NOBODY, ...JSON.parse(sessionStorage.getItem(STORED) ?? "{}"), refused: false };
  } catch {
    return NOBODY;
  }
}

function write(next: Session) {
  session = next;
  try {
    const { refused: _, ...kept } = next;
    sessionStorage.setItem(STORED, JSON.stringify(kept));
  } catch {
    // Storage may be switched off; the session then ends with the page.
  }
  for (const listener of listeners) listener();
}

export const getSession = () => session;
export const signIn = (kind: CredentialKind, secret: string) => write({ ...NOBODY, kind, secret });
export const signOut = () => write(NOBODY);
export const chooseOrganization = (organization: string | null) => write({ ...session, organization });

/** Ask for credentials. A late answer to a request of an earlier session changes nothing. */
export function refuse(asked: Session) {
  if (asked.secret === session.secret && !session.refused) write({ ...session, refused: true });
}

/** The headers that say who asks. */
export function credentials(of: Session = session): Record<string, string> {
  return {
    ...(of.kind === "key" ? { "X-API-Key": of.secret } : {}),
    ...(of.kind === "token" ? { Authorization: `Bearer ${of.secret}` } : {}),
    ...(of.organization ? { "X-Organization-Id": of.organization } : {}),
  };
}

export function useSession(): Session {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, getSession);
}
