import { ScrollText } from "lucide-react";
import { PageHeader } from "../../components/PageHeader";
import { EmptyState } from "../../components/states";

export default function AuditPage() {
  return (
    <>
      <PageHeader title="Audit" />
      <EmptyState icon={ScrollText} title="This page is not built yet">
        <p>Read the trail in a terminal: agenthall audit.</p>
      </EmptyState>
    </>
  );
}
