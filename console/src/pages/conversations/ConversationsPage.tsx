import { MessagesSquare } from "lucide-react";
import { PageHeader } from "../../components/PageHeader";
import { EmptyState } from "../../components/states";

export default function ConversationsPage() {
  return (
    <>
      <PageHeader title="Conversations" />
      <EmptyState icon={MessagesSquare} title="This page is not built yet">
        <p>Talk to an agent in a terminal: agenthall chat AGENT.</p>
      </EmptyState>
    </>
  );
}
