import {
  type ColumnDef,
  createSortedRowModel,
  rowSortingFeature,
  type SortingState,
  sortFns,
  tableFeatures,
  useTable,
} from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, ArrowUp } from "lucide-react";
import { type KeyboardEvent, type ReactNode, useRef, useState } from "react";
import { classes } from "./classes";
import { LoadingRows } from "./states";

const features = tableFeatures({ rowSortingFeature, sortedRowModel: createSortedRowModel(), sortFns });

export interface Column<T> {
  id: string;
  title: string;
  cell: (row: T) => ReactNode;
  /** Sorts the rows that are loaded. Without it the column is not sortable. */
  sortBy?: (row: T) => string | number;
  /** A track of CSS grid: "2fr", "8rem". */
  width?: string;
  align?: "right";
  /** Left out on a phone. */
  secondary?: boolean;
}

const ROW_HEIGHT = 44;
const VIRTUAL_FROM = 60;

/**
 * Rows of a grid. Only those in sight are rendered. The arrow keys, Home and End move between rows, Enter opens one.
 * A row that opens something has its link or button in a cell as well, for pointers and screen readers.
 */
export function DataTable<T>({
  label,
  rows,
  columns,
  rowId,
  onOpen,
  loading = false,
  empty,
  height = 640,
}: {
  label: string;
  rows: T[];
  columns: Column<T>[];
  rowId: (row: T) => string;
  onOpen?: (row: T) => void;
  loading?: boolean;
  empty?: ReactNode;
  height?: number;
}) {
  const [sorting, onSortingChange] = useState<SortingState>([]);
  const table = useTable({
    features,
    data: rows as object[],
    columns: columns.map((column) => definition(column)) as ColumnDef<typeof features, object>[],
    getRowId: (row) => rowId(row as T),
    state: { sorting },
    onSortingChange,
  });
  const shown = table.getRowModel().rows;
  const scroller = useRef<HTMLDivElement>(null);
  const isVirtual = shown.length > VIRTUAL_FROM;
  const virtualizer = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 8,
    enabled: isVirtual,
  });
  const [active, setActive] = useState(0);
  const template = columns.map((column) => column.width ?? "1fr").join(" ");
  const narrow = columns
    .filter((column) => !column.secondary)
    .map((column) => column.width ?? "1fr")
    .join(" ");

  const move = (event: KeyboardEvent, index: number) => {
    const target = next(event.key, index, shown.length);
    if (target === null) {
      const row = shown[index];
      if (event.key === "Enter" && event.target === event.currentTarget && row) onOpen?.(row.original as T);
      return;
    }
    event.preventDefault();
    setActive(target);
    if (isVirtual) virtualizer.scrollToIndex(target);
    requestAnimationFrame(() => scroller.current?.querySelector<HTMLElement>(`[data-index="${target}"]`)?.focus());
  };

  const renderRow = (index: number, top?: number) => {
    const row = shown[index];
    if (!row) return null;
    return (
      // biome-ignore lint/a11y/useSemanticElements: rows that are rendered in part cannot be a <table>
      <div
        key={row.id}
        role="row"
        aria-rowindex={index + 2}
        data-index={index}
        tabIndex={index === Math.min(active, shown.length - 1) ? 0 : -1}
        onFocus={() => setActive(index)}
        onKeyDown={(event) => move(event, index)}
        className={classes(
          GRID,
          "border-b last:border-b-0 hover:bg-sunken/60 focus-visible:-outline-offset-2",
          top !== undefined && "absolute inset-x-0",
        )}
        style={{ height: ROW_HEIGHT, transform: top === undefined ? undefined : `translateY(${top}px)` }}
      >
        {columns.map((column) => (
          // biome-ignore lint/a11y/useSemanticElements: as the row
          <div
            key={column.id}
            role="cell"
            className={classes(
              "min-w-0 truncate",
              column.align === "right" && "text-right tabular-nums",
              column.secondary && "max-md:hidden",
            )}
          >
            {column.cell(row.original as T)}
          </div>
        ))}
      </div>
    );
  };

  const grid = (
    // biome-ignore lint/a11y/useSemanticElements: see the row
    <div
      role="table"
      aria-label={label}
      aria-rowcount={shown.length + 1}
      aria-busy={loading}
      className="[--narrow:1fr] [--wide:1fr]"
      style={{ "--wide": template, "--narrow": narrow } as React.CSSProperties}
    >
      {/* biome-ignore lint/a11y/useSemanticElements lint/a11y/useFocusableInteractive: see the row */}
      <div
        role="row"
        aria-rowindex={1}
        className={classes(GRID, "h-9 border-b bg-sunken/60 text-xs font-medium text-soft")}
      >
        {columns.map((column) => {
          const sorted = sorting.find((each) => each.id === column.id);
          return (
            // biome-ignore lint/a11y/useSemanticElements lint/a11y/useFocusableInteractive: see the row
            <div
              key={column.id}
              role="columnheader"
              aria-sort={sorted ? (sorted.desc ? "descending" : "ascending") : undefined}
              className={classes(
                "min-w-0 truncate",
                column.align === "right" && "text-right",
                column.secondary && "max-md:hidden",
              )}
            >
              {column.sortBy ? (
                <button
                  type="button"
                  className="inline-flex items-center gap-1 hover:text-ink"
                  onClick={() => table.getColumn(column.id)?.toggleSorting()}
                >
                  {column.title}
                  {sorted && (sorted.desc ? <ArrowDown size={12} /> : <ArrowUp size={12} />)}
                </button>
              ) : (
                column.title
              )}
            </div>
          );
        })}
      </div>
      {shown.length > 0 && (
        // biome-ignore lint/a11y/useSemanticElements: see the row
        <div
          ref={scroller}
          role="rowgroup"
          className={isVirtual ? "overflow-auto" : ""}
          style={isVirtual ? { height } : undefined}
        >
          {isVirtual ? (
            <div role="presentation" className="relative" style={{ height: virtualizer.getTotalSize() }}>
              {virtualizer.getVirtualItems().map((item) => renderRow(item.index, item.start))}
            </div>
          ) : (
            shown.map((_, index) => renderRow(index))
          )}
        </div>
      )}
    </div>
  );
  if (shown.length > 0) return grid;
  // Beside the table: only rows may be in it.
  return (
    <>
      {grid}
      {loading ? <LoadingRows height={ROW_HEIGHT} /> : empty}
    </>
  );
}

const GRID = "grid grid-cols-(--narrow) items-center gap-x-4 px-3 md:grid-cols-(--wide)";

function definition<T>(column: Column<T>) {
  return {
    id: column.id,
    accessorFn: (row: T) => column.sortBy?.(row),
    enableSorting: column.sortBy !== undefined,
    sortDescFirst: false,
  };
}

function next(key: string, index: number, count: number): number | null {
  switch (key) {
    case "ArrowDown":
      return Math.min(index + 1, count - 1);
    case "ArrowUp":
      return Math.max(index - 1, 0);
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return null;
  }
}
