import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { Briefcase } from "lucide-react";
import { getJson } from "../../api/client";
import { SelectField } from "../../components/Field";
import { LoadMore } from "../../components/LoadMore";
import { Panel } from "../../components/PageHeader";
import { EmptyState, ErrorState } from "../../components/states";
import type { Filters } from "./groups";
import { JobsTable } from "./JobsTable";
import { JOB_STATES, type JobsPage } from "./jobs";

/** The jobs of the organization, the newest first. */
export function JobsPanel({
  agents,
  filters,
  change,
}: {
  agents: string[];
  filters: Filters;
  change: (changed: Partial<Filters>) => void;
}) {
  const wanted = { agent_id: filters.agent, state: filters.job };
  const jobs = useInfiniteQuery({
    queryKey: ["jobs", wanted],
    queryFn: ({ pageParam }) => getJson<JobsPage>("/agents/jobs", { ...wanted, limit: 50, cursor: pageParam }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 0) > 1 ? false : 5_000),
  });
  const options = (values: string[], all: string) => [
    { value: "", title: all },
    ...values.map((value) => ({ value, title: value })),
  ];
  const named = filters.agent && !agents.includes(filters.agent) ? [filters.agent, ...agents] : agents;
  return (
    <>
      <search className="mb-3 grid grid-cols-2 gap-2 md:grid-cols-[14rem_11rem]">
        <SelectField
          label="Agent"
          hideLabel
          value={filters.agent ?? ""}
          onChange={(event) => change({ agent: event.target.value || undefined })}
          options={options(named, "Every agent")}
        />
        <SelectField
          label="State of the job"
          hideLabel
          value={filters.job ?? ""}
          onChange={(event) => change({ job: event.target.value || undefined })}
          options={options(JOB_STATES, "Every state")}
        />
      </search>
      <Panel>
        {jobs.isError ? (
          <ErrorState error={jobs.error} onRetry={() => jobs.refetch()} />
        ) : (
          <JobsTable
            jobs={jobs.data?.pages.flatMap((page) => page.jobs) ?? []}
            loading={jobs.isPending}
            onChange={jobs.refetch}
            empty={
              <EmptyState icon={Briefcase} title={wanted.agent_id || wanted.state ? "No job matches" : "No jobs yet"}>
                <p>A run of an agent whose instances take jobs becomes one.</p>
              </EmptyState>
            }
          />
        )}
      </Panel>
      <LoadMore list={jobs} />
    </>
  );
}
