import { Cable, Trash2 } from "lucide-react";
import { useState } from "react";
import { may, useMe } from "../../api/me";
import { IconButton } from "../../components/Button";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { type Column, DataTable } from "../../components/DataTable";
import { JsonButton } from "../../components/JsonView";
import { PageHeader, Panel } from "../../components/PageHeader";
import { EmptyState, ErrorState } from "../../components/states";
import { Time } from "../../components/Time";
import { type Connection, useConnections, useDeletion } from "./useConnections";

const COLUMNS: Column<Connection>[] = [
  {
    id: "url",
    title: "MCP server",
    width: "minmax(0,2fr)",
    cell: (each) => <span className="font-mono text-xs">{each.url}</span>,
    sortBy: (each) => each.url,
  },
  {
    id: "issuer",
    title: "Authorized by",
    width: "minmax(0,1.5fr)",
    cell: (each) => each.issuer,
    sortBy: (each) => each.issuer,
    secondary: true,
  },
  { id: "scope", title: "Scope", cell: (each) => each.scope ?? "–", secondary: true },
  {
    id: "organization",
    title: "Organization",
    cell: (each) => each.organization_id ?? "–",
    secondary: true,
  },
  {
    id: "expires",
    title: "Token expires",
    width: "7rem",
    align: "right",
    cell: (each) => <Time at={each.expires_at} />,
  },
  {
    id: "updated",
    title: "Updated",
    width: "7rem",
    align: "right",
    cell: (each) => <Time at={each.updated_at} />,
    sortBy: (each) => each.updated_at,
    secondary: true,
  },
];

/** The MCP servers that act for the user. An agent asks for a connection when a tool needs it. */
export default function ConnectionsPage() {
  const me = useMe();
  const list = useConnections();
  const [chosen, setChosen] = useState<Connection | null>(null);
  const remove: Column<Connection> = {
    id: "actions",
    title: "Actions",
    width: "4rem",
    align: "right",
    cell: (each) => (
      <IconButton label={`Delete the connection to ${each.url}`} onClick={() => setChosen(each)} small>
        <Trash2 size={14} />
      </IconButton>
    ),
  };
  return (
    <>
      <PageHeader
        title="Connections"
        about="The MCP servers that agents use in your name. Only you see them."
        actions={<JsonButton value={list.data ?? []} title="Connections, as the API gives them" />}
      />
      <Panel>
        {list.isError ? (
          <ErrorState error={list.error} onRetry={() => list.refetch()} />
        ) : (
          <DataTable
            label="Connections"
            rows={list.data ?? []}
            columns={may(me.data, "connections.delete") ? [...COLUMNS, remove] : COLUMNS}
            rowId={(each) => each.connection_id}
            loading={list.isPending}
            empty={<NoConnections />}
          />
        )}
      </Panel>
      <DeleteDialog connection={chosen} onClose={() => setChosen(null)} />
    </>
  );
}

function DeleteDialog({ connection, onClose }: { connection: Connection | null; onClose: () => void }) {
  const deletion = useDeletion();
  return (
    <ConfirmDialog
      title="Delete this connection?"
      action="Delete and revoke"
      open={connection !== null}
      change={deletion}
      onConfirm={() => connection && deletion.mutate(connection, { onSuccess: onClose })}
      onClose={onClose}
    >
      <p>
        The tokens for <code className="font-mono text-xs">{connection?.url}</code> are deleted here and revoked there.
        An agent that needs the server asks you to connect again.
      </p>
    </ConfirmDialog>
  );
}

function NoConnections() {
  return (
    <EmptyState icon={Cable} title="No connections yet">
      <p>
        Talk to an agent whose tools need your account at another service. It shows a link, and the connection that you
        make there is listed here.
      </p>
    </EmptyState>
  );
}
