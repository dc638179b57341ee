import type { components } from "../../api/schema";

/** Fields of the form for a key. Lists are separated by commas, spaces or lines. */
export interface KeyForm {
  name: string;
  kind: "service" | "instance";
  organizations: string;
  scopes: string[];
  agents: string;
  assistants: string;
  expiresIn: string;
}

export const EMPTY_FORM: KeyForm = {
  name: "",
  kind: "service",
  organizations: "",
  scopes: [],
  agents: "",
  assistants: "",
  expiresIn: "7776000",
};

/** The scopes of the server, with the words of its reference. */
export const SCOPES: { id: string; about: string }[] = [
  { id: "assistants:read", about: "get and search assistants" },
  { id: "assistants:write", about: "create, change and delete assistants" },
  { id: "threads:read", about: "read threads, their state and history" },
  { id: "threads:write", about: "create, change and delete threads" },
  { id: "runs", about: "start, follow, cancel and schedule runs" },
  { id: "store:read", about: "read the store" },
  { id: "store:write", about: "write the store" },
  { id: "agents:read", about: "list and watch registered agents and their jobs" },
  { id: "agents:register", about: "register instances and take their jobs" },
  { id: "agents:write", about: "change registered agents, cordon instances, cancel jobs" },
  { id: "audit", about: "read the audit trail of its organizations" },
  { id: "metrics", about: "read the metrics of all organizations" },
  { id: "admin", about: "everything, of every owner and organization" },
];

export const LIFETIMES = [
  { value: "86400", title: "1 day" },
  { value: "2592000", title: "30 days" },
  { value: "7776000", title: "90 days" },
  { value: "31536000", title: "1 year" },
  { value: "", title: "Never" },
];

export const OVERLAPS = [
  { value: "0", title: "None: the old secret ends now" },
  { value: "3600", title: "1 hour" },
  { value: "86400", title: "1 day" },
  { value: "604800", title: "7 days" },
];

const listed = (text: string) => text.split(/[\s,]+/).filter(Boolean);
const unlessEmpty = (items: string[]) => (items.length > 0 ? items : null);

/** The body of POST /keys. An empty list stands for "not limited", which the API writes as null. */
export function keyRequest(form: KeyForm): components["schemas"]["KeyBody"] {
  return {
    name: form.name.trim(),
    kind: form.kind,
    organizations: listed(form.organizations),
    scopes: unlessEmpty(form.scopes),
    agents: unlessEmpty(listed(form.agents)),
    assistants: unlessEmpty(listed(form.assistants)),
    expires_in: form.expiresIn === "" ? null : Number(form.expiresIn),
    // the server names the key's principal after its prefix
    identity: null,
  };
}
