import { Panel } from "../../../components/PageHeader";
import type { Timeline } from "./timeline";

/** Why a run failed, and the lines of the user's code that led there, in the order of a traceback. */
export function ErrorPanel({ error }: { error: NonNullable<Timeline["error"]> }) {
  return (
    <Panel title="Error">
      <p className="px-3 py-2.5 wrap-anywhere whitespace-pre-wrap text-bad">
        <span className="font-medium">{error.type}</span>: {error.message}
      </p>
      {error.frames.length > 0 && (
        <ol aria-label="Frames" className="divide-y border-t font-mono text-xs">
          {error.frames.map(({ file, line, function: name }, index) => (
            <li
              key={`${index.toString()}-${file}-${line}`}
              className="flex flex-wrap justify-between gap-x-4 px-3 py-1.5"
            >
              <span className="wrap-anywhere">
                {file}:{line}
              </span>
              <span className="text-soft">{name}</span>
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}
