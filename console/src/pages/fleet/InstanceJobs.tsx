import { useInfiniteQuery } from "@tanstack/react-query";
import { Briefcase } from "lucide-react";
import { getJson } from "../../api/client";
import { may, useMe } from "../../api/me";
import { LoadMore } from "../../components/LoadMore";
import { Panel } from "../../components/PageHeader";
import { EmptyState, ErrorState } from "../../components/states";
import type { Instance } from "./instances";
import { JobsTable } from "./JobsTable";
import { isOver, type Job, type JobsPage } from "./jobs";

const PAGE = 50;
const OPEN = ["running", "offered"];

/** A page of the instance's jobs, the newest first. The first page begins with all jobs that it has in hand. */
async function readPage(registration_id: string, cursor?: string): Promise<JobsPage> {
  const read = (query: object) => getJson<JobsPage>("/agents/jobs", { registration_id, limit: PAGE, ...query });
  const [page, ...open] = await Promise.all([
    read({ cursor }),
    ...(cursor === undefined ? OPEN.map((state) => read({ state, limit: 100 })) : []),
  ]);
  return { ...page, jobs: [...open.flatMap(({ jobs }) => jobs), ...page.jobs] };
}

/** Each job once: those in hand first. */
function inOrder(pages: JobsPage[]): Job[] {
  const found = new Map(pages.flatMap((page) => page.jobs).map((job) => [job.job_id, job]));
  return [...found.values()].sort(
    (a, b) => Number(isOver(a)) - Number(isOver(b)) || b.created_at.localeCompare(a.created_at),
  );
}

export function InstanceJobs({ instance }: { instance: Instance }) {
  const me = useMe();
  const jobs = useInfiniteQuery({
    queryKey: ["instances", instance.registration_id, "jobs"],
    queryFn: ({ pageParam }) => readPage(instance.registration_id, pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    enabled: may(me.data, "jobs.search"),
    refetchInterval: 5_000,
  });
  if (!may(me.data, "jobs.search")) return null;
  return (
    <Panel title="Jobs">
      {jobs.isError && !jobs.data ? (
        <ErrorState error={jobs.error} onRetry={() => jobs.refetch()} />
      ) : (
        <JobsTable
          jobs={inOrder(jobs.data?.pages ?? [])}
          loading={jobs.isPending}
          onChange={jobs.refetch}
          empty={
            <EmptyState icon={Briefcase} title="No jobs">
              <p>Jobs are shown here from their first offer to this instance.</p>
            </EmptyState>
          }
        />
      )}
      <LoadMore list={jobs} />
    </Panel>
  );
}
