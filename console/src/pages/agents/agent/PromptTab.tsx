import type { Assistant } from "@langchain/langgraph-sdk";
import type { ReactNode } from "react";
import { CopyButton } from "../../../components/CopyButton";
import { Panel } from "../../../components/PageHeader";
import { Time } from "../../../components/Time";
import { asObject, configurableOf, promptOf, settingsOf } from "./configuration";
import { type Fact, FactList } from "./FactList";

/** The prompt, the model and every other setting, and where the agent comes from. */
export function PromptTab({ agent }: { agent: Assistant }) {
  const values = configurableOf(agent);
  const prompt = promptOf(values);
  const settings = settingsOf(values);
  return (
    <div className="grid grid-cols-1 items-start gap-4 lg:grid-cols-[minmax(0,3fr)_minmax(0,2fr)]">
      <div className="grid min-w-0 grid-cols-1 gap-4">
        <Panel title="Prompt" actions={prompt && <CopyButton text={prompt.text} label="Copy the prompt" />}>
          {prompt ? (
            <p className="p-4 leading-6 wrap-anywhere whitespace-pre-wrap">{prompt.text}</p>
          ) : (
            <p className="p-4 text-soft">This agent has no prompt in its configuration. Its graph may have one.</p>
          )}
        </Panel>
        <Panel title="Configuration">
          {settings.length ? (
            <FactList facts={settings.map(([key, value]): Fact => [key, <Value key={key} value={value} />])} />
          ) : (
            <p className="p-4 text-soft">Nothing is set. The graph runs with its defaults.</p>
          )}
        </Panel>
      </div>
      <Panel title="Origin">
        <FactList facts={origin(agent)} />
      </Panel>
    </div>
  );
}

function origin(agent: Assistant): Fact[] {
  const { supabase_agent_id, supabase_organization_id, organization_id, synced_at, owner } = asObject(agent.metadata);
  const named: [string, unknown][] = [
    ["Id", agent.assistant_id],
    ["Graph", agent.graph_id],
    ["Catalogue row", supabase_agent_id],
    ["Organization", supabase_organization_id ?? organization_id],
    ["Owner", owner],
  ];
  return [
    ...named.filter(([, value]) => typeof value === "string").map(([name, value]): Fact => [name, code(`${value}`)]),
    ["Version", agent.version],
    ["Created", <Time key="created" at={agent.created_at} />],
    ["Updated", <Time key="updated" at={agent.updated_at} />],
    ...(typeof synced_at === "string" ? [["Synced", <Time key="synced" at={synced_at} />] satisfies Fact] : []),
  ];
}

const code = (text: string) => <code className="font-mono text-xs">{text}</code>;

function Value({ value }: { value: unknown }): ReactNode {
  if (typeof value === "string") return <span className="whitespace-pre-wrap">{value || "–"}</span>;
  if (typeof value !== "object" || value === null) return <span className="tabular-nums">{JSON.stringify(value)}</span>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
    <section aria-label="Value as JSON" tabIndex={0} className="max-h-72 overflow-auto">
      <pre className="font-mono text-xs leading-5 wrap-anywhere whitespace-pre-wrap">
        {JSON.stringify(value, null, 2)}
      </pre>
    </section>
  );
}
