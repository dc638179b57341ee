import type { GraphSchema } from "@langchain/langgraph-sdk";
import { useQuery } from "@tanstack/react-query";
import { Braces } from "lucide-react";
import { useState } from "react";
import { JsonView } from "../../../components/JsonView";
import { EmptyState, ErrorState, LoadingBlock } from "../../../components/states";
import { Tabs } from "../../../components/Tabs";
import { schemasQuery } from "./queries";
import { fieldsOf, type SchemaField } from "./schemaFields";

const KINDS: { id: keyof GraphSchema; title: string }[] = [
  { id: "input_schema", title: "Input" },
  { id: "output_schema", title: "Output" },
  { id: "state_schema", title: "State" },
  { id: "config_schema", title: "Config" },
  { id: "context_schema", title: "Context" },
];

/** The schemas of the graph: their fields as a table, and all of each as JSON. */
export function SchemasTab({ assistantId }: { assistantId: string }) {
  const schemas = useQuery(schemasQuery(assistantId));
  const [chosen, choose] = useState<string>("input_schema");
  if (schemas.isPending) return <LoadingBlock height={320} />;
  if (schemas.isError) return <ErrorState error={schemas.error} onRetry={() => schemas.refetch()} />;
  const data = schemas.data as unknown as Record<string, unknown>;
  return (
    <Tabs
      label="Schemas"
      value={chosen}
      onChange={choose}
      tabs={KINDS.map(({ id, title }) => ({ id, title, content: <SchemaView schema={data[id]} title={title} /> }))}
    />
  );
}

function SchemaView({ schema, title }: { schema: unknown; title: string }) {
  if (!schema) {
    return (
      <EmptyState icon={Braces} title={`The graph has no ${title.toLowerCase()} schema`}>
        <p>LangGraph derives schemas from the types that the graph names.</p>
      </EmptyState>
    );
  }
  const fields = fieldsOf(schema);
  return (
    <div className="grid grid-cols-1 gap-4">
      {fields.length > 0 && <FieldTable fields={fields} title={title} />}
      <JsonView value={schema} maxHeight={420} />
    </div>
  );
}

function FieldTable({ fields, title }: { fields: SchemaField[]; title: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
    <section aria-label={`Fields of ${title}`} tabIndex={0} className="overflow-x-auto rounded-lg border bg-surface">
      <table className="w-full text-left">
        <thead className="bg-sunken/60 text-xs text-soft">
          <tr>
            {["Field", "Type", "Default", "Description"].map((name) => (
              <th key={name} scope="col" className="px-3 py-2 font-medium">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="divide-y">
          {fields.map((field) => (
            <tr key={field.name} className="align-baseline">
              <th scope="row" className="px-3 py-2 font-mono text-xs font-medium whitespace-nowrap">
                {field.name}
                {field.isRequired && <span className="ml-1 font-sans text-faint">required</span>}
              </th>
              <td className="px-3 py-2 font-mono text-xs text-soft">{field.type}</td>
              <td className="max-w-56 truncate px-3 py-2 font-mono text-xs text-soft">{field.initial}</td>
              <td className="min-w-48 px-3 py-2 wrap-anywhere text-soft">{field.about}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
