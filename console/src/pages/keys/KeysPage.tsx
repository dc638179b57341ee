import { KeyRound, Plus, RefreshCw, Trash2 } from "lucide-react";
import { useState } from "react";
import { may, useMe } from "../../api/me";
import { useSession } from "../../api/session";
import { Button, IconButton } from "../../components/Button";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { type Column, DataTable } from "../../components/DataTable";
import { JsonButton } from "../../components/JsonView";
import { LoadMore } from "../../components/LoadMore";
import { PageHeader, Panel } from "../../components/PageHeader";
import { EmptyState, ErrorState } from "../../components/states";
import { CreateKeyDialog } from "./CreateKeyDialog";
import { COLUMNS } from "./columns";
import { RotateDialog } from "./RotateDialog";
import { SecretDialog } from "./SecretDialog";
import { type Key, useKeyChanges, useKeys } from "./useKeys";

/** API keys, for administrators. A secret is shown once, when it is made. */
export default function KeysPage() {
  const me = useMe();
  const list = useKeys(useSession().organization ?? undefined);
  const keys = list.data?.pages.flat() ?? [];
  const [isCreating, setCreating] = useState(false);
  const [rotated, setRotated] = useState<Key | null>(null);
  const [revoked, setRevoked] = useState<Key | null>(null);
  const [secret, setSecret] = useState<string | null>(null);
  const actions: Column<Key> = {
    id: "actions",
    title: "Actions",
    width: "4rem",
    align: "right",
    cell: (key) =>
      key.status === "active" && (
        <>
          {may(me.data, "keys.rotate") && (
            <Act icon={RefreshCw} label={`Rotate ${nameOf(key)}`} onClick={() => setRotated(key)} />
          )}
          {may(me.data, "keys.revoke") && (
            <Act icon={Trash2} label={`Revoke ${nameOf(key)}`} onClick={() => setRevoked(key)} />
          )}
        </>
      ),
  };
  return (
    <>
      <PageHeader
        title="Keys"
        about="API keys of services and of instances that dial in."
        actions={
          <>
            <JsonButton value={keys} title="Keys, as the API gives them" />
            {may(me.data, "keys.create") && !list.isError && (
              <Button look="primary" onClick={() => setCreating(true)}>
                <Plus size={15} aria-hidden /> Create a key
              </Button>
            )}
          </>
        }
      />
      <Panel>
        {list.isError ? (
          <ErrorState error={list.error} onRetry={() => list.refetch()} />
        ) : (
          <DataTable
            label="Keys"
            rows={keys}
            columns={[...COLUMNS, actions]}
            rowId={(key) => key.prefix}
            loading={list.isPending}
            empty={<NoKeys />}
          />
        )}
      </Panel>
      <LoadMore list={list} />
      <CreateKeyDialog
        me={me.data}
        open={isCreating}
        onClose={(made) => {
          setCreating(false);
          // the browser tells that the dialog has closed, too, and then there is none
          if (made) setSecret(made);
        }}
      />
      <RotateDialog
        target={rotated}
        onClose={(made) => {
          setRotated(null);
          // the browser tells that the dialog has closed, too, and then there is none
          if (made) setSecret(made);
        }}
      />
      <RevokeDialog target={revoked} onClose={() => setRevoked(null)} />
      <SecretDialog secret={secret} onClose={() => setSecret(null)} />
    </>
  );
}

const nameOf = (key: Key) => key.name || key.prefix;

function Act({ icon: Icon, label, onClick }: { icon: typeof Trash2; label: string; onClick: () => void }) {
  return (
    <IconButton label={label} onClick={onClick} small>
      <Icon size={14} />
    </IconButton>
  );
}

function RevokeDialog({ target, onClose }: { target: Key | null; onClose: () => void }) {
  const { revoke } = useKeyChanges();
  return (
    <ConfirmDialog
      title="Revoke this key?"
      action="Revoke"
      open={target !== null}
      change={revoke}
      onConfirm={() => target && revoke.mutate(target.prefix, { onSuccess: onClose })}
      onClose={onClose}
    >
      <p>
        <b>{target && nameOf(target)}</b> is refused within some seconds. It cannot be restored.
      </p>
    </ConfirmDialog>
  );
}

function NoKeys() {
  return (
    <EmptyState icon={KeyRound} title="No keys yet">
      <p>Create one for each service and each bot, with no more scopes than it needs.</p>
    </EmptyState>
  );
}
