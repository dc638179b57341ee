import { SelectField, TextArea, TextField } from "../../../components/Field";
import { JsonView } from "../../../components/JsonView";
import { OutsideLink } from "../../../components/OutsideLink";
import {
  type Action,
  type Answer,
  type Decision,
  decide,
  fill,
  initialOf,
  type ObjectSchema,
  type Property,
  parse,
  type Question,
  type Server,
} from "./kinds";

/** An answer as it is being written. */
export interface Draft {
  decisions: Decision[];
  fields: Record<string, string>;
  form: "text" | "json" | "approve" | "reject";
  text: string;
}

export function draftOf(question: Question): Draft {
  const actions = question.kind === "review" ? question.actions : question.kind === "inbox" ? [question.action] : [];
  const decisions = actions.map((action) => ({ type: action.allowed[0] ?? "approve", text: "" }));
  return { decisions, fields: {}, form: "text", text: "" };
}

/** The value that resumes the run, or why the draft is none. */
export function readDraft(question: Question, draft: Draft): Answer {
  switch (question.kind) {
    case "review": {
      const decisions = question.actions.map((action, index) => decide("review", action, decisionAt(draft, index)));
      const wrong = decisions.find((each) => "error" in each);
      return wrong ?? { value: { decisions: decisions.map((each) => ("value" in each ? each.value : null)) } };
    }
    case "inbox": {
      const decided = decide("inbox", question.action, decisionAt(draft, 0));
      return "error" in decided ? decided : { value: [decided.value] };
    }
    case "schema":
      return fill(question.schema, draft.fields);
    case "connect":
      return { value: true };
    case "free":
      return readFree(draft);
  }
}

const decisionAt = (draft: Draft, index: number) => draft.decisions[index] ?? { type: "approve", text: "" };

function readFree({ form, text }: Draft): Answer {
  if (form === "approve" || form === "reject") return { value: form === "approve" };
  if (form === "json") return parse(text);
  return text.trim() ? { value: text } : { error: "Write an answer first." };
}

export function QuestionFields({
  question,
  draft,
  onChange,
}: {
  question: Question;
  draft: Draft;
  onChange: (draft: Draft) => void;
}) {
  if (question.kind === "schema") {
    return (
      <>
        <About value={question.about} />
        <SchemaFields
          schema={question.schema}
          fields={draft.fields}
          onChange={(fields) => onChange({ ...draft, fields })}
        />
      </>
    );
  }
  if (question.kind === "connect") return <ConnectionFields servers={question.servers} />;
  if (question.kind === "free") {
    return (
      <>
        <About value={question.about} />
        <FreeFields draft={draft} onChange={onChange} />
      </>
    );
  }
  const actions = question.kind === "review" ? question.actions : [question.action];
  return actions.map((action, index) => (
    <ActionFields
      // biome-ignore lint/suspicious/noArrayIndexKey: two calls may be alike, and their order is fixed
      key={index}
      action={action}
      decision={decisionAt(draft, index)}
      onChange={(decision) => onChange({ ...draft, decisions: draft.decisions.with(index, decision) })}
    />
  ));
}

/** Where the user allows the access. The answer is the same with and without it: the run goes on with what is connected. */
function ConnectionFields({ servers }: { servers: Server[] }) {
  return (
    <>
      <p>
        Tools of this agent act in your name. Connect in a new tab, then come back and continue. You can also continue
        without them.
      </p>
      <ul className="space-y-2">
        {servers.map((server) => (
          <li key={server.url} className="flex flex-wrap items-center justify-between gap-2">
            <span className="font-mono text-xs wrap-anywhere">{server.url}</span>
            <OutsideLink href={server.address}>Connect</OutsideLink>
          </li>
        ))}
      </ul>
    </>
  );
}

const WORDS = ["question", "message", "prompt", "description", "text"];

/** The question in its words, and as JSON whatever else it has. */
function About({ value }: { value: unknown }) {
  if (typeof value === "string") return <p className="wrap-anywhere whitespace-pre-wrap">{value}</p>;
  const members = typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  const word = WORDS.find((name) => typeof members[name] === "string");
  const rest = Object.fromEntries(
    Object.entries(members).filter(([name]) => name !== word && name !== "schema" && name !== "response_schema"),
  );
  return (
    <>
      {word && <p className="wrap-anywhere whitespace-pre-wrap">{`${members[word]}`}</p>}
      {(!word || Object.keys(rest).length > 0) && <JsonView value={word ? rest : value} maxHeight={240} />}
    </>
  );
}

const TITLES: Record<string, string> = {
  approve: "Approve",
  accept: "Accept",
  edit: "Edit the arguments",
  reject: "Reject",
  respond: "Answer in words",
  response: "Answer in words",
  ignore: "Ignore",
};

function ActionFields({
  action,
  decision,
  onChange,
}: {
  action: Action;
  decision: Decision;
  onChange: (decision: Decision) => void;
}) {
  const args = JSON.stringify(action.args, null, 2);
  const takesWords = decision.type === "reject" || decision.type === "respond" || decision.type === "response";
  return (
    <div className="space-y-2">
      <p>
        Call of <code className="font-mono text-xs font-medium">{action.name}</code>
      </p>
      {action.description && <p className="wrap-anywhere whitespace-pre-wrap text-soft">{action.description}</p>}
      {decision.type !== "edit" && <JsonView value={action.args} maxHeight={240} />}
      <div className="max-w-64">
        <SelectField
          label={`Decision about ${action.name}`}
          hideLabel
          value={decision.type}
          onChange={({ target: { value } }) => onChange({ type: value, text: value === "edit" ? args : "" })}
          options={action.allowed.map((value) => ({ value, title: TITLES[value] ?? value }))}
        />
      </div>
      {(decision.type === "edit" || takesWords) && (
        <TextArea
          label={decision.type === "edit" ? "Arguments as JSON" : "Words for the agent"}
          code={decision.type === "edit"}
          value={decision.text}
          rows={decision.type === "edit" ? 5 : 2}
          onChange={(event) => onChange({ ...decision, text: event.target.value })}
        />
      )}
    </div>
  );
}

function SchemaFields({
  schema,
  fields,
  onChange,
}: {
  schema: ObjectSchema;
  fields: Record<string, string>;
  onChange: (fields: Record<string, string>) => void;
}) {
  return Object.entries(schema.properties).map(([name, property]) => (
    <PropertyField
      key={name}
      label={`${property.title ?? name}${schema.required.includes(name) ? "" : " (optional)"}`}
      property={property}
      value={fields[name] ?? initialOf(property)}
      onChange={(value) => onChange({ ...fields, [name]: value })}
    />
  ));
}

function PropertyField({
  label,
  property,
  value,
  onChange,
}: {
  label: string;
  property: Property;
  value: string;
  onChange: (value: string) => void;
}) {
  const choices = property.enum?.map(String) ?? (property.type === "boolean" ? ["true", "false"] : null);
  const field = { label, hint: property.description, value };
  if (choices) {
    const options = [{ value: "", title: "Choose" }, ...choices.map((choice) => ({ value: choice, title: choice }))];
    return <SelectField {...field} options={options} onChange={(event) => onChange(event.target.value)} />;
  }
  if (property.type === "array" || property.type === "object") {
    return <TextArea {...field} onChange={(event) => onChange(event.target.value)} />;
  }
  return <TextField {...field} onChange={(event) => onChange(event.target.value)} />;
}

function FreeFields({ draft, onChange }: { draft: Draft; onChange: (draft: Draft) => void }) {
  const isWritten = draft.form === "text" || draft.form === "json";
  return (
    <div className="grid gap-2 md:grid-cols-[10rem_minmax(0,1fr)]">
      <SelectField
        label="Form of the answer"
        hideLabel
        value={draft.form}
        onChange={(event) => onChange({ ...draft, form: event.target.value as Draft["form"] })}
        options={[
          { value: "text", title: "Text" },
          { value: "approve", title: "Approve (true)" },
          { value: "reject", title: "Reject (false)" },
          { value: "json", title: "JSON" },
        ]}
      />
      {isWritten && (
        <TextArea
          label={draft.form === "json" ? "Answer as JSON" : "Answer"}
          code={draft.form === "json"}
          hideLabel
          placeholder={draft.form === "json" ? '{"any": "JSON"}' : "Your answer"}
          value={draft.text}
          rows={2}
          onChange={(event) => onChange({ ...draft, text: event.target.value })}
        />
      )}
    </div>
  );
}
