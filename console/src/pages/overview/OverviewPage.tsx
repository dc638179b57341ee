import { Gauge } from "lucide-react";
import { PageHeader } from "../../components/PageHeader";
import { EmptyState } from "../../components/states";

export default function OverviewPage() {
  return (
    <>
      <PageHeader title="Overview" />
      <EmptyState icon={Gauge} title="This page is not built yet">
        <p>The server's numbers are at /metrics.</p>
      </EmptyState>
    </>
  );
}
