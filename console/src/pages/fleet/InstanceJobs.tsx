import { useQuery } from "@tanstack/react-query";
import { Briefcase } from "lucide-react";
import { getJson } from "../../api/client";
import { may, useMe } from "../../api/me";
import { Panel } from "../../components/PageHeader";
import { EmptyState, ErrorState } from "../../components/states";
import type { Instance } from "./instances";
import { JobsTable } from "./JobsTable";
import { isOver, type Job, type JobsPage } from "./jobs";

const PAGES = 2;
const OPEN = ["running", "offered"];

/** What the instance has in hand, and its jobs among the last of its agent. The API has no filter for an instance. */
async function readJobs({ agent_id, registration_id }: Instance): Promise<Job[]> {
  const open = await Promise.all(
    OPEN.map((state) => getJson<JobsPage>("/agents/jobs", { agent_id, state, limit: 100 })),
  );
  const found = new Map(open.flatMap((page) => page.jobs).map((job) => [job.job_id, job]));
  let cursor: string | undefined;
  for (let page = 0; page < PAGES; page += 1) {
    const answer = await getJson<JobsPage>("/agents/jobs", { agent_id, limit: 100, cursor });
    for (const job of answer.jobs) found.set(job.job_id, job);
    if (!answer.next_cursor) break;
    cursor = answer.next_cursor;
  }
  return [...found.values()]
    .filter((job) => job.registration_id === registration_id)
    .sort((a, b) => Number(isOver(a)) - Number(isOver(b)) || b.created_at.localeCompare(a.created_at));
}

export function InstanceJobs({ instance }: { instance: Instance }) {
  const me = useMe();
  const jobs = useQuery({
    queryKey: ["instances", instance.registration_id, "jobs"],
    queryFn: () => readJobs(instance),
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
          jobs={jobs.data ?? []}
          loading={jobs.isPending}
          onChange={jobs.refetch}
          empty={
            <EmptyState icon={Briefcase} title="No jobs">
              <p>{`Among the last ${PAGES * 100} jobs of ${instance.agent_id} none is of this instance.`}</p>
            </EmptyState>
          }
        />
      )}
    </Panel>
  );
}
