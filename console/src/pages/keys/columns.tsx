import { Badge, type Tone } from "../../components/Badge";
import type { Column } from "../../components/DataTable";
import { Time } from "../../components/Time";
import type { Key } from "./useKeys";

const TONES: Record<Key["status"], Tone> = { active: "good", expired: "warn", revoked: "neutral" };

export const COLUMNS: Column<Key>[] = [
  {
    id: "name",
    title: "Name",
    width: "minmax(0,1.5fr)",
    cell: (key) => (
      <>
        <span className="font-medium">{key.name || "unnamed"}</span>{" "}
        <span className="font-mono text-xs text-faint">{key.prefix}</span>
      </>
    ),
    sortBy: (key) => key.name,
  },
  {
    id: "status",
    title: "Status",
    width: "5.5rem",
    cell: (key) => <Badge tone={TONES[key.status]}>{key.status}</Badge>,
    sortBy: (key) => key.status,
  },
  {
    id: "scopes",
    title: "Scopes",
    width: "minmax(0,1.3fr)",
    cell: (key) => <span title={key.scopes?.join(", ")}>{key.scopes?.join(", ") ?? "not limited"}</span>,
    secondary: true,
  },
  {
    id: "bound",
    title: "Bound to",
    width: "minmax(0,1fr)",
    cell: (key) => <span title={boundTo(key)}>{boundTo(key)}</span>,
    secondary: true,
  },
  {
    id: "expires",
    title: "Expires",
    width: "6.5rem",
    align: "right",
    cell: (key) => (key.expires_at ? <Time at={key.expires_at} /> : "never"),
    sortBy: (key) => key.expires_at ?? "9",
    secondary: true,
  },
  {
    id: "used",
    title: "Last used",
    width: "6.5rem",
    align: "right",
    cell: (key) => (key.last_used_at ? <Time at={key.last_used_at} /> : "never"),
    sortBy: (key) => key.last_used_at ?? "",
    secondary: true,
  },
];

function boundTo({ agents, assistants }: Key): string {
  return [...(agents ?? []), ...(assistants ?? [])].join(", ") || "–";
}
