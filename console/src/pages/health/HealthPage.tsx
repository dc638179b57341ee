import { JsonButton } from "../../components/JsonView";
import { PageHeader } from "../../components/PageHeader";
import { DoctorPanel } from "./DoctorPanel";
import { ReadinessPanel } from "./ReadinessPanel";
import { SyncPanel } from "./SyncPanel";
import { useHealth } from "./useHealth";

/** Whether the server works: what it reports of itself, and for administrators the checks of doctor. */
export default function HealthPage() {
  const { readiness, doctor, sync, mayCheck, maySync } = useHealth();
  const value = { ok: readiness.data, doctor: doctor.data, agent_sync: sync.data };
  return (
    <>
      <PageHeader
        title="Health"
        about={
          mayCheck ? "What agenthall doctor checks, and what the server reports" : "What the server reports of itself"
        }
        actions={<JsonButton value={value} title="Health, as the API gives it" />}
      />
      <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,3fr)_minmax(0,2fr)]">
        {mayCheck && <DoctorPanel doctor={doctor} />}
        <div className="space-y-4">
          <ReadinessPanel readiness={readiness} />
          {maySync && <SyncPanel sync={sync} />}
        </div>
      </div>
    </>
  );
}
