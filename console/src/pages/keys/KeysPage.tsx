import { KeyRound } from "lucide-react";
import { PageHeader } from "../../components/PageHeader";
import { EmptyState } from "../../components/states";

export default function KeysPage() {
  return (
    <>
      <PageHeader title="Keys" />
      <EmptyState icon={KeyRound} title="This page is not built yet">
        <p>List keys in a terminal: agenthall keys list.</p>
      </EmptyState>
    </>
  );
}
