import { Activity } from "lucide-react";
import { PageHeader } from "../../components/PageHeader";
import { EmptyState } from "../../components/states";

export default function RunsPage() {
  return (
    <>
      <PageHeader title="Runs" />
      <EmptyState icon={Activity} title="This page is not built yet">
        <p>List runs in a terminal: agenthall runs list.</p>
      </EmptyState>
    </>
  );
}
