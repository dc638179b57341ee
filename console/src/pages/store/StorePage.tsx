import { Database } from "lucide-react";
import { PageHeader } from "../../components/PageHeader";
import { EmptyState } from "../../components/states";

export default function StorePage() {
  return (
    <>
      <PageHeader title="Store" />
      <EmptyState icon={Database} title="This page is not built yet">
        <p>Items of the store are at /store/items.</p>
      </EmptyState>
    </>
  );
}
