import type { UseQueryResult } from "@tanstack/react-query";
import { CircleCheck, CircleX } from "lucide-react";
import { Badge } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Panel } from "../../components/PageHeader";
import { ErrorState, LoadingRows } from "../../components/states";
import { Time } from "../../components/Time";
import type { Doctor } from "./useHealth";

/** The checks of `agenthall doctor`, those that failed first. */
export function DoctorPanel({ doctor }: { doctor: UseQueryResult<Doctor> }) {
  const checks = sorted(doctor.data?.checks ?? []);
  const failed = checks.filter(({ passed }) => !passed).length;
  return (
    <Panel
      title="Checks"
      actions={
        <span className="flex items-center gap-2">
          {doctor.data && (
            <Badge tone={failed ? "bad" : "good"}>
              {failed ? `${failed} of ${checks.length} failed` : `all ${checks.length} passed`}
            </Badge>
          )}
          <Button onClick={() => doctor.refetch()} disabled={doctor.isFetching}>
            {doctor.isFetching ? "Checking" : "Check again"}
          </Button>
        </span>
      }
    >
      {doctor.data ? (
        <>
          <ul className="divide-y">
            {checks.map((check) => (
              <li key={check.name} className="flex items-start gap-2.5 px-3 py-2">
                {check.passed ? (
                  <CircleCheck size={17} className="mt-0.5 shrink-0 text-good" aria-label="Passed" role="img" />
                ) : (
                  <CircleX size={17} className="mt-0.5 shrink-0 text-bad" aria-label="Failed" role="img" />
                )}
                <div className="min-w-0">
                  <p className="font-medium">{check.name}</p>
                  <p className="whitespace-pre-wrap text-soft wrap-anywhere">{check.text}</p>
                </div>
              </li>
            ))}
          </ul>
          <p className="border-t px-3 py-2 text-xs text-faint">
            Checked <Time at={new Date(doctor.dataUpdatedAt)} />
          </p>
        </>
      ) : doctor.isError ? (
        <ErrorState error={doctor.error} onRetry={() => doctor.refetch()} />
      ) : (
        <>
          <p role="status" className="border-b px-3 py-2 text-soft">
            The server checks its settings, its database and its graphs. This takes some seconds.
          </p>
          <LoadingRows rows={8} height={52} />
        </>
      )}
    </Panel>
  );
}

/** Those that failed first, else as the server has them. */
export const sorted = (checks: Doctor["checks"]) => checks.toSorted((a, b) => Number(a.passed) - Number(b.passed));
