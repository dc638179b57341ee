import { useNavigate, useSearch } from "@tanstack/react-router";
import { ScrollText, SearchX } from "lucide-react";
import { useState } from "react";
import { Badge, type Tone } from "../../components/Badge";
import { Button } from "../../components/Button";
import { type Column, DataTable } from "../../components/DataTable";
import { JsonButton } from "../../components/JsonView";
import { PageHeader, Panel } from "../../components/PageHeader";
import { EmptyState, ErrorState } from "../../components/states";
import { Time } from "../../components/Time";
import { AuditFilterBar } from "./AuditFilterBar";
import { EntryDialog } from "./EntryDialog";
import type { AuditFilters } from "./filters";
import { type AuditEntry, useAuditTrail } from "./useAuditTrail";

const columns = (onOpen: (entry: AuditEntry) => void): Column<AuditEntry>[] => [
  { id: "at", title: "Time", width: "7rem", cell: (entry) => <Time at={entry.at} /> },
  {
    id: "action",
    title: "Action",
    width: "minmax(0,1fr)",
    cell: (entry) => (
      <button
        type="button"
        className="block max-w-full truncate font-medium hover:text-accent"
        onClick={() => onOpen(entry)}
      >
        {entry.action}
      </button>
    ),
  },
  {
    id: "actor",
    title: "Actor",
    width: "minmax(0,1.2fr)",
    cell: (entry) => (
      <>
        {entry.actor}{" "}
        {entry.actor_kind !== "principal" && <Badge tone={TONES[entry.actor_kind]}>{entry.actor_kind}</Badge>}
      </>
    ),
  },
  {
    id: "resource",
    title: "Resource",
    width: "minmax(0,1.4fr)",
    cell: (entry) => (
      <>
        <span className="text-soft">{entry.resource_type}</span>{" "}
        <span className="font-mono text-xs">{entry.resource_id}</span>
      </>
    ),
    secondary: true,
  },
  {
    id: "fields",
    title: "Changed fields",
    width: "minmax(0,1.2fr)",
    cell: (entry) => entry.changed_fields.join(", ") || "–",
    secondary: true,
  },
];

const TONES: Record<AuditEntry["actor_kind"], Tone> = { principal: "neutral", server: "accent", database: "warn" };

/** Who changed what, the newest first. */
export default function AuditPage() {
  const filters = useSearch({ strict: false }) as AuditFilters;
  const navigate = useNavigate();
  const [opened, setOpened] = useState<AuditEntry | null>(null);
  const trail = useAuditTrail(filters);
  const entries = trail.data?.pages.flatMap((page) => page.entries) ?? [];
  const show = (changed: AuditFilters) => navigate({ to: "/audit", search: changed as object, replace: true });
  return (
    <>
      <PageHeader
        title="Audit"
        about="Who changed which row. Values are not kept."
        actions={<JsonButton value={entries} title="Entries, as the API gives them" />}
      />
      <AuditFilterBar filters={filters} onChange={(changed) => show({ ...filters, ...changed })} />
      <Panel>
        {trail.isError ? (
          <ErrorState error={trail.error} onRetry={() => trail.refetch()} />
        ) : (
          <DataTable
            label="Audit trail"
            rows={entries}
            columns={columns(setOpened)}
            rowId={(entry) => `${entry.audit_id}`}
            onOpen={setOpened}
            loading={trail.isPending}
            empty={trail.hasNextPage ? <SearchGoesOn /> : <NoEntries filters={filters} onClear={() => show({})} />}
          />
        )}
      </Panel>
      {trail.hasNextPage && (
        <div className="mt-3 text-center">
          <Button onClick={() => trail.fetchNextPage()} disabled={trail.isFetchingNextPage}>
            {trail.isFetchingNextPage ? "Loading" : "Load older entries"}
          </Button>
        </div>
      )}
      <EntryDialog entry={opened} onClose={() => setOpened(null)} onFilter={show} />
    </>
  );
}

/** A page of the API looks at a limited number of entries. */
function SearchGoesOn() {
  return (
    <EmptyState icon={SearchX} title="Nothing among the newest entries">
      <p>Older ones may match: load them below.</p>
    </EmptyState>
  );
}

function NoEntries({ filters, onClear }: { filters: AuditFilters; onClear: () => void }) {
  if (Object.keys(filters).length > 0) {
    return (
      <EmptyState icon={SearchX} title="No entry matches">
        <Button onClick={onClear}>Clear the filters</Button>
      </EmptyState>
    );
  }
  return (
    <EmptyState icon={ScrollText} title="No entries yet">
      <p>Each change of an assistant, a key, an agent or another resource adds one.</p>
    </EmptyState>
  );
}
