import { Button } from "../../components/Button";
import { Dialog } from "../../components/Dialog";
import { JsonView } from "../../components/JsonView";
import { Time } from "../../components/Time";
import type { AuditFilters } from "./filters";
import type { AuditEntry } from "./useAuditTrail";

/** One entry, with the ways to entries like it. */
export function EntryDialog({
  entry,
  onClose,
  onFilter,
}: {
  entry: AuditEntry | null;
  onClose: () => void;
  onFilter: (filters: AuditFilters) => void;
}) {
  const follow = (filters: AuditFilters) => {
    onClose();
    onFilter(filters);
  };
  return (
    <Dialog title={entry?.action ?? ""} open={entry !== null} onClose={onClose}>
      {entry && (
        <div className="space-y-4">
          <p className="wrap-anywhere">
            {entry.actor} · <Time at={entry.at} />
          </p>
          <section>
            <h3 className="mb-1 font-medium">Changed fields</h3>
            {entry.changed_fields.length > 0 ? (
              <ul className="list-inside list-disc font-mono text-xs wrap-anywhere">
                {entry.changed_fields.map((field) => (
                  <li key={field}>{field}</li>
                ))}
              </ul>
            ) : (
              <p className="text-soft">The entry names none.</p>
            )}
            <p className="mt-1 text-xs text-faint">
              The trail has no values from before and after, so that it keeps no content of users.
            </p>
          </section>
          <div className="flex flex-wrap gap-2">
            <Button onClick={() => follow({ type: entry.resource_type, id: entry.resource_id })}>
              Changes of this resource
            </Button>
            <Button onClick={() => follow({ actor: entry.actor })}>Changes by this actor</Button>
          </div>
          <JsonView value={entry} />
        </div>
      )}
    </Dialog>
  );
}
