import type { Assistant } from "@langchain/langgraph-sdk";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { RefreshCw, Wrench } from "lucide-react";
import { toProblem } from "../../../api/problem";
import { Badge, type Tone } from "../../../components/Badge";
import { Button } from "../../../components/Button";
import { JsonButton, JsonView } from "../../../components/JsonView";
import { Panel } from "../../../components/PageHeader";
import { EmptyState, ErrorState, LoadingBlock } from "../../../components/states";
import { formatDuration } from "../../../components/Time";
import { configurableOf, serversOf } from "./configuration";
import { type AgentTool, type ServerTool, type ToolServer, toolsQuery } from "./queries";

const STATUSES: Record<ToolServer["status"], { title: string; tone: Tone }> = {
  reachable: { title: "Reachable", tone: "good" },
  unreachable: { title: "Unreachable", tone: "bad" },
  auth_required: { title: "Needs credentials", tone: "warn" },
  refused: { title: "Refused by the egress policy", tone: "bad" },
};

/** What the agent's MCP servers offer now, asked with the caller's credentials, and the agents that it may call. */
export function ToolsTab({ agent }: { agent: Assistant }) {
  const tools = useQuery(toolsQuery(agent.assistant_id));
  if (tools.isPending) return <LoadingBlock height={240} />;
  if (tools.isError) return <NotAsked agent={agent} error={tools.error} onRetry={() => tools.refetch()} />;
  const { servers, tools: others } = tools.data;
  if (!servers.length && !others.length) {
    return (
      <EmptyState icon={Wrench} title="This agent has no tools in its configuration">
        <p>Add a server to mcp_config, or a row to the tools of the catalogue. The graph may have tools of its own.</p>
      </EmptyState>
    );
  }
  return (
    <div className="grid grid-cols-1 gap-4">
      <div className="flex items-center justify-between gap-2">
        <p className="text-soft">Asked with your credentials. Answers are kept for some seconds.</p>
        <span className="flex gap-2">
          <Button onClick={() => tools.refetch()} disabled={tools.isFetching}>
            <RefreshCw size={14} aria-hidden /> Ask again
          </Button>
          <JsonButton value={tools.data} title="Tools, as the API gives them" />
        </span>
      </div>
      {servers.map((server) => (
        <ServerPanel key={server.name} server={server} />
      ))}
      {others.length > 0 && <AgentsPanel agents={others} />}
    </div>
  );
}

function ServerPanel({ server }: { server: ToolServer }) {
  const status = STATUSES[server.status];
  return (
    <Panel
      title={server.name}
      actions={
        <span className="flex items-center gap-2 text-faint">
          <span className="tabular-nums max-sm:hidden">{formatDuration(server.seconds)}</span>
          <Badge tone={status?.tone}>{status?.title ?? server.status}</Badge>
        </span>
      }
    >
      <p className="border-b px-3 py-2 font-mono text-xs wrap-anywhere text-soft">{server.url}</p>
      {server.error && <p className="border-b bg-bad-wash px-3 py-2 wrap-anywhere text-bad">{server.error}</p>}
      {server.tools.length > 0 && (
        <ul className="divide-y">
          {server.tools.map((tool) => (
            <li key={tool.name}>
              <ToolLine tool={tool} />
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function ToolLine({ tool }: { tool: ServerTool }) {
  return (
    <details>
      <summary className="px-3 py-2 hover:bg-sunken/60">
        <code className="font-mono text-xs font-medium">{tool.name}</code>
        <span className="ml-2 wrap-anywhere text-soft">{tool.description}</span>
      </summary>
      <div className="px-3 pb-3">
        <JsonView value={tool.input_schema} maxHeight={280} />
      </div>
    </details>
  );
}

function AgentsPanel({ agents }: { agents: AgentTool[] }) {
  return (
    <Panel title="Agents that it may call">
      <ul className="divide-y">
        {agents.map(({ assistant_id, name, description }) => (
          <li key={assistant_id} className="px-3 py-2">
            {name ? (
              <Link
                to="/agents/$assistantId"
                params={{ assistantId: assistant_id }}
                className="font-medium text-accent hover:underline"
              >
                {name}
              </Link>
            ) : (
              <span className="text-soft">An agent that you may not use</span>
            )}
            <span className="ml-2 text-soft">{description}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** The servers of the configuration, where this server cannot say how they are. */
function NotAsked({ agent, error, onRetry }: { agent: Assistant; error: Error; onRetry: () => void }) {
  const servers = serversOf(configurableOf(agent));
  if (!toProblem(error).isUnavailable || !servers.length) return <ErrorState error={error} onRetry={onRetry} />;
  return (
    <div className="grid grid-cols-1 gap-4">
      <p className="text-soft">The state of these servers is not known: {toProblem(error).message}</p>
      {servers.map((server) => (
        <Panel key={server.name} title={server.name} actions={<Badge>Not asked</Badge>}>
          <p className="px-3 py-2 font-mono text-xs wrap-anywhere text-soft">{server.url}</p>
          {server.tools && <p className="border-t px-3 py-2">Tools: {server.tools.join(", ")}</p>}
        </Panel>
      ))}
    </div>
  );
}
