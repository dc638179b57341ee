import { CircleAlert, CloudOff, Lock, type LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import { type Problem, toProblem } from "../api/problem";
import { Button } from "./Button";
import { CopyButton } from "./CopyButton";

function Notice({ icon: Icon, title, children }: { icon: LucideIcon; title: string; children?: ReactNode }) {
  return (
    <div className="mx-auto flex max-w-md flex-col items-center px-4 py-14 text-center">
      <Icon size={26} strokeWidth={1.5} className="mb-3 text-faint" aria-hidden />
      <h2 className="font-semibold">{title}</h2>
      <div className="mt-1 space-y-3 text-soft">{children}</div>
    </div>
  );
}

/** Nothing is there yet. `children` say what to do next. */
export function EmptyState({ icon, title, children }: { icon: LucideIcon; title: string; children?: ReactNode }) {
  return (
    <Notice icon={icon} title={title}>
      {children}
    </Notice>
  );
}

/** Why something could not be shown, in the server's words. An endpoint that is missing or forbidden is no failure. */
export function ErrorState({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const problem = toProblem(error);
  return (
    <div role="alert">
      <Notice icon={iconOf(problem)} title={titleOf(problem)}>
        <p className="wrap-anywhere">{problem.message}</p>
        {problem.requestId && (
          <p className="flex items-center justify-center gap-1 text-xs text-faint">
            Request <code className="font-mono wrap-anywhere">{problem.requestId}</code>
            <CopyButton text={problem.requestId} label="Copy the request id" />
          </p>
        )}
        {onRetry && !problem.isUnavailable && <Button onClick={onRetry}>Try again</Button>}
      </Notice>
    </div>
  );
}

function iconOf(problem: Problem): LucideIcon {
  if (problem.status === 0) return CloudOff;
  return problem.status === 403 ? Lock : CircleAlert;
}

function titleOf(problem: Problem): string {
  if (problem.status === 0) return "The server does not answer";
  if (problem.status === 403) return "You may not see this";
  if (problem.status === 404) return "There is nothing here";
  if (problem.status === 405) return "This server does not offer this";
  return "This could not be loaded";
}

/** Grey bars in the place of rows, of the same height, so that nothing moves when the rows arrive. */
export function LoadingRows({ rows = 8, height = 40 }: { rows?: number; height?: number }) {
  return (
    <div role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the bars have no identity
        <div key={index} className="flex items-center border-b px-3" style={{ height }}>
          <div className="h-3 w-full max-w-96 animate-pulse rounded bg-sunken" style={{ opacity: 1 - index / rows }} />
        </div>
      ))}
    </div>
  );
}

export function LoadingBlock({ height }: { height: number }) {
  return <div role="status" aria-label="Loading" className="animate-pulse rounded-lg bg-sunken" style={{ height }} />;
}
