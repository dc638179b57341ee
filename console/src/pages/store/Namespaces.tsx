import { ChevronRight, Folder } from "lucide-react";
import { Panel } from "../../components/PageHeader";
import { ErrorState, LoadingRows } from "../../components/states";
import { labelsOf } from "./place";
import { useChildren } from "./useStore";

type Go = (ns: string | undefined) => void;

/** The way from the root to a namespace. Each part leads back to it. */
export function Breadcrumbs({ ns, onGo }: { ns: string | undefined; onGo: Go }) {
  const labels = labelsOf(ns);
  const step = "rounded px-1 hover:bg-sunken hover:text-ink wrap-anywhere text-left";
  return (
    <nav aria-label="Namespace" className="mb-3">
      <ol className="flex flex-wrap items-center gap-0.5 text-soft">
        <li>
          <button type="button" className={step} onClick={() => onGo(undefined)}>
            All namespaces
          </button>
        </li>
        {labels.map((label, index) => {
          const here = labels.slice(0, index + 1).join(".");
          return (
            <li key={here} className="flex min-w-0 items-center gap-0.5">
              <ChevronRight size={14} className="shrink-0 text-faint" aria-hidden />
              <button
                type="button"
                className={step}
                aria-current={here === ns ? "location" : undefined}
                onClick={() => onGo(here)}
              >
                {label}
              </button>
            </li>
          );
        })}
      </ol>
    </nav>
  );
}

/** The namespaces one level below. */
export function Children({ ns, onGo }: { ns: string | undefined; onGo: Go }) {
  const children = useChildren(ns);
  const path = (label: string) => [...labelsOf(ns), label].join(".");
  return (
    <Panel title="Namespaces">
      {children.isError ? (
        <ErrorState error={children.error} onRetry={() => children.refetch()} />
      ) : children.isPending ? (
        <LoadingRows rows={3} height={36} />
      ) : (
        <ul className="max-h-96 overflow-y-auto p-1">
          {children.data.map((label) => (
            <li key={label}>
              <button
                type="button"
                className="flex min-h-8 w-full items-center gap-2 rounded-md px-2 py-1 text-left hover:bg-sunken"
                onClick={() => onGo(path(label))}
              >
                <Folder size={15} className="shrink-0 text-faint" aria-hidden />
                <span className="min-w-0 wrap-anywhere">{label}</span>
              </button>
            </li>
          ))}
          {children.data.length === 0 && <li className="px-2 py-1.5 text-soft">None below this one.</li>}
        </ul>
      )}
    </Panel>
  );
}
