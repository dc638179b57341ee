import { HeartPulse } from "lucide-react";
import { PageHeader } from "../../components/PageHeader";
import { EmptyState } from "../../components/states";

export default function HealthPage() {
  return (
    <>
      <PageHeader title="Health" />
      <EmptyState icon={HeartPulse} title="This page is not built yet">
        <p>Check the server in a terminal: agenthall doctor.</p>
      </EmptyState>
    </>
  );
}
