import { Cable, Trash2 } from "lucide-react";
import { useState } from "react";
import { hasOrganization, may, useMe } from "../../api/me";
import { toProblem } from "../../api/problem";
import { Button, IconButton } from "../../components/Button";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { type Column, DataTable } from "../../components/DataTable";
import { JsonButton } from "../../components/JsonView";
import { OutsideLink } from "../../components/OutsideLink";
import { PageHeader, Panel } from "../../components/PageHeader";
import { EmptyState, ErrorState } from "../../components/states";
import { Time } from "../../components/Time";
import { type Connection, type Server, useBegin, useConnections, useDeletion, useServers } from "./useConnections";

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

/** The MCP servers that act for the user. Connections are made here, or when an agent asks for one. */
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
      <ServersPanel />
      <DeleteDialog connection={chosen} onClose={() => setChosen(null)} />
    </>
  );
}

/** The servers that the user can connect to, also before an agent asks. Nothing where the operator has named none. */
function ServersPanel() {
  const me = useMe();
  const isChosen = hasOrganization(me.data);
  const servers = useServers(isChosen);
  if (me.data && !isChosen) {
    return <p className="mt-4 text-soft">Choose an organization to see the servers that you can connect to.</p>;
  }
  if (servers.isError) return <ErrorState error={servers.error} onRetry={() => servers.refetch()} />;
  if (!servers.data?.length) return null;
  return (
    <div className="mt-4">
      <Panel title="Servers to connect to">
        <ul className="divide-y">
          {servers.data.map((each) => (
            <li key={each.url} className="flex min-h-12 flex-wrap items-center justify-between gap-2 px-3 py-2">
              <span className="font-mono text-xs wrap-anywhere">{each.url}</span>
              <BeginButton server={each} />
            </li>
          ))}
        </ul>
      </Panel>
    </div>
  );
}

/** Begins a connection, and becomes the link to the page where the user allows it, for as long as that works. */
function BeginButton({ server }: { server: Server }) {
  const me = useMe();
  const begin = useBegin();
  if (!may(me.data, "connections.begin")) return null;
  if (server.is_connected) return <span className="text-soft">Connected</span>;
  if (begin.data) return <OutsideLink href={begin.data.authorization_url}>Continue there</OutsideLink>;
  return (
    <span className="flex flex-wrap items-center justify-end gap-2">
      {begin.error && (
        <span role="alert" className="text-bad">
          {toProblem(begin.error).message}
        </span>
      )}
      <Button aria-label={`Connect to ${server.url}`} disabled={begin.isPending} onClick={() => begin.mutate(server)}>
        Connect
      </Button>
    </span>
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
