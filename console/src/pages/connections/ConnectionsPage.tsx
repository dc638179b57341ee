import { Cable } from "lucide-react";
import { PageHeader } from "../../components/PageHeader";
import { EmptyState } from "../../components/states";

export default function ConnectionsPage() {
  return (
    <>
      <PageHeader title="Connections" />
      <EmptyState icon={Cable} title="This page is not built yet">
        <p>Connections to MCP servers are at /connections.</p>
      </EmptyState>
    </>
  );
}
