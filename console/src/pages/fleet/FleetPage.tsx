import { Boxes } from "lucide-react";
import { PageHeader } from "../../components/PageHeader";
import { EmptyState } from "../../components/states";

export default function FleetPage() {
  return (
    <>
      <PageHeader title="Fleet" />
      <EmptyState icon={Boxes} title="This page is not built yet">
        <p>Watch instances in a terminal: agenthall agents watch.</p>
      </EmptyState>
    </>
  );
}
