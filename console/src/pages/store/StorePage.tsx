import { useNavigate, useSearch } from "@tanstack/react-router";
import { Database, Plus, SearchX } from "lucide-react";
import { useMemo, useState } from "react";
import { may, useMe } from "../../api/me";
import { Button } from "../../components/Button";
import { type Column, DataTable } from "../../components/DataTable";
import { JsonButton } from "../../components/JsonView";
import { LoadMore } from "../../components/LoadMore";
import { PageHeader, Panel } from "../../components/PageHeader";
import { EmptyState, ErrorState } from "../../components/states";
import { Time } from "../../components/Time";
import { DeleteDialog, type Draft, EditDialog, ItemDialog } from "./ItemDialogs";
import { Breadcrumbs, Children } from "./Namespaces";
import { hasText, labelsOf, type Place } from "./place";
import { StoreFilterBar } from "./StoreFilterBar";
import { type Item, useItems } from "./useStore";

const PREVIEW = 200;

const columns = (depth: number, onOpen: (item: Item) => void): Column<Item>[] => [
  {
    id: "key",
    title: "Key",
    width: "minmax(0,1.2fr)",
    cell: (item) => (
      <button
        type="button"
        className="block max-w-full truncate font-medium hover:text-accent"
        onClick={() => onOpen(item)}
      >
        {item.key}
      </button>
    ),
    sortBy: (item) => item.key,
  },
  {
    id: "namespace",
    title: "Namespace",
    width: "minmax(0,1fr)",
    cell: (item) => item.namespace.slice(depth).join(" / ") || "–",
    sortBy: (item) => item.namespace.join("."),
    secondary: true,
  },
  {
    id: "value",
    title: "Value",
    width: "minmax(0,2fr)",
    cell: (item) => <span className="font-mono text-xs text-soft">{JSON.stringify(item.value).slice(0, PREVIEW)}</span>,
    secondary: true,
  },
  {
    id: "updated",
    title: "Updated",
    width: "6.5rem",
    align: "right",
    cell: (item) => <Time at={item.updatedAt} />,
    sortBy: (item) => item.updatedAt,
  },
];

/** What agents remember: the caller's own items, by namespace. */
export default function StorePage() {
  const place = useSearch({ strict: false }) as Place;
  const navigate = useNavigate();
  const me = useMe();
  const list = useItems(place);
  const loaded = useMemo(() => list.data?.pages.flat() ?? [], [list.data]);
  const text = place.by === "meaning" ? undefined : place.q;
  const shown = useMemo(() => loaded.filter((item) => !text || hasText(item, text)), [loaded, text]);
  const [opened, setOpened] = useState<Item | null>(null);
  const [deleted, setDeleted] = useState<Item | null>(null);
  const [draft, setDraft] = useState<Draft | null>(null);
  const go = (changed: Partial<Place>, replace = true) =>
    navigate({ to: "/store", search: { ...place, ...changed } as object, replace });
  const mayWrite = may(me.data, "store.write");
  const create = () => setDraft({ namespace: place.ns ?? "", key: "", value: "{\n  \n}", isNew: true });
  return (
    <>
      <PageHeader
        title="Store"
        about="What agents remember for you: JSON under a namespace and a key."
        actions={
          <>
            <JsonButton value={shown} title="Items, as the API gives them" />
            {mayWrite && (
              <Button look="primary" onClick={create}>
                <Plus size={15} aria-hidden /> Create an item
              </Button>
            )}
          </>
        }
      />
      <Breadcrumbs ns={place.ns} onGo={(ns) => go({ ns }, false)} />
      <StoreFilterBar place={place} onChange={go} />
      <div className="grid items-start gap-4 lg:grid-cols-[15rem_minmax(0,1fr)]">
        <Children ns={place.ns} onGo={(ns) => go({ ns }, false)} />
        <Panel>
          {list.isError ? (
            <ErrorState error={list.error} onRetry={() => list.refetch()} />
          ) : (
            <DataTable
              label="Items"
              rows={shown}
              columns={columns(labelsOf(place.ns).length, setOpened)}
              rowId={(item) => JSON.stringify([item.namespace, item.key])}
              onOpen={setOpened}
              loading={list.isPending}
              empty={<NoItems place={place} onClear={() => go({ q: undefined, by: undefined, filter: undefined })} />}
            />
          )}
        </Panel>
      </div>
      <LoadMore list={list} />
      <ItemDialog
        item={opened}
        mayWrite={mayWrite}
        onClose={() => setOpened(null)}
        onEdit={(item) => {
          setOpened(null);
          setDraft(draftOf(item));
        }}
        onDelete={(item) => {
          setOpened(null);
          setDeleted(item);
        }}
      />
      <DeleteDialog item={deleted} onClose={() => setDeleted(null)} />
      {draft && <EditDialog draft={draft} onClose={() => setDraft(null)} />}
    </>
  );
}

const draftOf = ({ namespace, key, value }: Item): Draft => ({
  namespace: namespace.join("."),
  key,
  value: JSON.stringify(value, null, 2),
  isNew: false,
});

function NoItems({ place, onClear }: { place: Place; onClear: () => void }) {
  if (place.q || place.filter) {
    return (
      <EmptyState icon={SearchX} title="No item matches">
        <Button onClick={onClear}>Clear the search</Button>
      </EmptyState>
    );
  }
  return (
    <EmptyState icon={Database} title="No items yet">
      <p>An agent puts what it wants to remember here. Create an item to give it something to start with.</p>
    </EmptyState>
  );
}
