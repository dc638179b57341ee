import type { Assistant } from "@langchain/langgraph-sdk";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { MessageSquarePlus } from "lucide-react";
import { type Me, may, useMe } from "../../api/me";
import { BackLink } from "../../components/BackLink";
import { JsonButton } from "../../components/JsonView";
import { PageHeader } from "../../components/PageHeader";
import { ErrorState, LoadingBlock } from "../../components/states";
import { type Tab, Tabs } from "../../components/Tabs";
import { PromptTab } from "./agent/PromptTab";
import { agentQuery } from "./agent/queries";
import { SchemasTab } from "./agent/SchemasTab";
import { ToolsTab } from "./agent/ToolsTab";
import { VersionsTab } from "./agent/VersionsTab";
import type { AgentSearch, TabName } from "./filters";
import { GraphTab } from "./graph/GraphTab";
import { SourceBadge } from "./SourceBadge";
import { isSynced } from "./source";
import { AgentSyncTab } from "./sync/AgentSyncTab";

const PROMPT = "prompt";

/** One agent: what it is, what it can do, what it was, and whether it is in step with the catalogue. */
export default function AgentPage() {
  const { assistantId = "" } = useParams({ strict: false }) as { assistantId?: string };
  const agent = useQuery(agentQuery(assistantId));
  return (
    <>
      <BackLink to="/agents">Agents</BackLink>
      {agent.isPending ? (
        <LoadingPage />
      ) : agent.isError ? (
        <>
          <PageHeader title="Agent" />
          <ErrorState error={agent.error} onRetry={() => agent.refetch()} />
        </>
      ) : (
        <LoadedAgent agent={agent.data} />
      )}
    </>
  );
}

function LoadingPage() {
  return (
    <>
      <PageHeader title="Agent" about={<span className="invisible">Loading</span>} />
      <LoadingBlock height={40} />
      <div className="h-4" />
      <LoadingBlock height={360} />
    </>
  );
}

function LoadedAgent({ agent }: { agent: Assistant }) {
  const { tab } = useSearch({ strict: false }) as AgentSearch;
  const navigate = useNavigate();
  const me = useMe();
  const tabs = tabsOf(agent, me.data);
  const show = (chosen: string) =>
    navigate({
      to: "/agents/$assistantId",
      params: { assistantId: agent.assistant_id },
      search: chosen === PROMPT ? {} : { tab: chosen as TabName },
      replace: true,
    });
  return (
    <>
      <PageHeader
        title={agent.name}
        about={
          <span className="flex flex-wrap items-center gap-2">
            {SourceBadge(agent)}
            <span className="wrap-anywhere">{agent.description}</span>
          </span>
        }
        actions={
          <>
            <JsonButton value={agent} title="Assistant, as the API gives it" />
            {may(me.data, "runs.create_in_thread") && <ChatLink assistantId={agent.assistant_id} />}
          </>
        }
      />
      <Tabs
        label="Parts of the agent"
        value={tabs.some((each) => each.id === tab) && tab ? tab : PROMPT}
        onChange={show}
        tabs={tabs}
      />
    </>
  );
}

function tabsOf(agent: Assistant, me: Me | null | undefined): Tab[] {
  const { assistant_id } = agent;
  const mayRestore = may(me, "assistants.update");
  return [
    { id: PROMPT, title: "Prompt", content: <PromptTab agent={agent} /> },
    { id: "tools", title: "Tools", content: <ToolsTab agent={agent} /> },
    { id: "versions", title: "Versions", content: <VersionsTab agent={agent} mayRestore={mayRestore} /> },
    { id: "schemas", title: "Schemas", content: <SchemasTab assistantId={assistant_id} /> },
    { id: "graph", title: "Graph", content: <GraphTab assistantId={assistant_id} /> },
    ...(isSynced(agent) && me !== undefined && may(me, "agent_sync.read")
      ? [{ id: "sync", title: "Sync", content: <AgentSyncTab agent={agent} maySync={may(me, "agent_sync.run")} /> }]
      : []),
  ];
}

function ChatLink({ assistantId }: { assistantId: string }) {
  return (
    <Link
      to="/conversations/new"
      search={{ agent: assistantId }}
      className="inline-flex h-8 items-center gap-1.5 rounded-md bg-accent px-3 font-medium text-accent-ink hover:brightness-110"
    >
      <MessageSquarePlus size={15} aria-hidden /> Chat
    </Link>
  );
}
