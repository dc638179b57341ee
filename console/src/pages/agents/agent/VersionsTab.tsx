import type { Assistant, AssistantVersion } from "@langchain/langgraph-sdk";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Badge } from "../../../components/Badge";
import { classes } from "../../../components/classes";
import { DiffView } from "../../../components/DiffView";
import { SelectField } from "../../../components/Field";
import { JsonButton } from "../../../components/JsonView";
import { Panel } from "../../../components/PageHeader";
import { ErrorState, LoadingBlock } from "../../../components/states";
import { Time } from "../../../components/Time";
import type { AgentSearch } from "../filters";
import { versionsQuery } from "./queries";
import { RestoreButton } from "./RestoreButton";
import { textOfVersion } from "./readableText";

/** All versions, newest first, and what one of them changed. */
export function VersionsTab({ agent, mayRestore }: { agent: Assistant; mayRestore: boolean }) {
  const versions = useQuery(versionsQuery(agent.assistant_id));
  const search = useSearch({ strict: false }) as AgentSearch;
  const navigate = useNavigate();
  if (versions.isPending) return <LoadingBlock height={320} />;
  if (versions.isError) return <ErrorState error={versions.error} onRetry={() => versions.refetch()} />;
  const all = versions.data;
  const chosen = all.find((each) => each.version === search.version) ?? all[0];
  if (!chosen) return <p className="text-soft">This agent has no versions.</p>;
  const choose = (changed: Partial<AgentSearch>) =>
    navigate({
      to: "/agents/$assistantId",
      params: { assistantId: agent.assistant_id },
      search: { tab: "versions", version: search.version, ...changed },
      replace: true,
    });
  return (
    <div className="grid grid-cols-1 items-start gap-4 md:grid-cols-[17rem_minmax(0,1fr)]">
      <VersionList
        versions={all}
        chosen={chosen.version}
        served={agent.version}
        onChoose={(version) => choose({ version, before: undefined })}
      />
      <Comparison
        versions={all}
        chosen={chosen}
        before={search.before}
        onCompare={(before) => choose({ before })}
        restore={
          mayRestore && chosen.version !== agent.version ? <RestoreButton agent={agent} version={chosen} /> : null
        }
      />
    </div>
  );
}

function VersionList({
  versions,
  chosen,
  served,
  onChoose,
}: {
  versions: AssistantVersion[];
  chosen: number;
  served: number;
  onChoose: (version: number) => void;
}) {
  return (
    <Panel title="Versions">
      <ul className="max-h-[32rem] divide-y overflow-y-auto max-md:max-h-56">
        {versions.map(({ version, created_at }) => (
          <li key={version}>
            <button
              type="button"
              aria-pressed={version === chosen}
              onClick={() => onChoose(version)}
              className={classes(
                "flex w-full items-center justify-between gap-2 px-3 py-2 text-left focus-visible:-outline-offset-2",
                version === chosen ? "bg-accent-wash" : "hover:bg-sunken/60",
              )}
            >
              <span className="flex items-center gap-2 font-medium">
                Version {version}
                {version === served && <Badge tone="good">Served</Badge>}
              </span>
              <span className="text-soft">
                <Time at={created_at} />
              </span>
            </button>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Comparison({
  versions,
  chosen,
  before,
  onCompare,
  restore,
}: {
  versions: AssistantVersion[];
  chosen: AssistantVersion;
  before: number | undefined;
  onCompare: (version: number) => void;
  restore: React.ReactNode;
}) {
  const others = versions.filter((each) => each.version !== chosen.version);
  const base =
    others.find((each) => each.version === before) ??
    others.find((each) => each.version < chosen.version) ??
    others.at(-1);
  return (
    <Panel
      title={`Version ${chosen.version}`}
      actions={
        <span className="flex items-center gap-2 py-1.5">
          <JsonButton value={chosen} title={`Version ${chosen.version}, as the API gives it`} />
          {restore}
        </span>
      }
    >
      <div className="grid grid-cols-1 gap-3 p-3">
        {base ? (
          <>
            <div className="w-64 max-w-full">
              <SelectField
                label="Compare with"
                value={String(base.version)}
                onChange={(event) => onCompare(Number(event.target.value))}
                options={others.map(({ version }) => ({ value: String(version), title: `Version ${version}` }))}
              />
            </div>
            <DiffView
              before={textOfVersion(base)}
              after={textOfVersion(chosen)}
              label={`Changes from version ${base.version} to version ${chosen.version}`}
            />
          </>
        ) : (
          <>
            <p className="text-soft">This is the only version. A change of the agent makes the next one.</p>
            <pre className="overflow-auto font-mono text-xs leading-5 wrap-anywhere whitespace-pre-wrap">
              {textOfVersion(chosen)}
            </pre>
          </>
        )}
      </div>
    </Panel>
  );
}
