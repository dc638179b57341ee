import type { Command, Interrupt } from "@langchain/langgraph-sdk";
import { webAddress } from "../../../components/webAddress";

/** The question of an interrupt, in the kinds that have a form. */
export type Question =
  | { kind: "review"; actions: Action[] }
  | { kind: "inbox"; action: Action }
  | { kind: "connect"; servers: Server[] }
  | { kind: "schema"; schema: ObjectSchema; about: unknown }
  | { kind: "free"; about: unknown };

/** An MCP server that the user has to connect to. `address`: of the page where that is done, if there is one. */
export interface Server {
  url: string;
  address: string | null;
}

export interface Action {
  name: string;
  args: unknown;
  description: string | null;
  allowed: string[];
}

export interface ObjectSchema {
  properties: Record<string, Property>;
  required: string[];
}

export interface Property {
  type?: string;
  title?: string;
  description?: string;
  enum?: unknown[];
  default?: unknown;
}

/**
 * Recognize connections to MCP servers, LangChain's review of tool calls, the agent inbox and a JSON schema; everything else is
 * answered freely.
 */
export function questionOf({ value, response_schema }: Interrupt): Question {
  const given = record(value);
  if (given.kind === "mcp_connection_required" && Array.isArray(given.connections)) {
    return { kind: "connect", servers: given.connections.map(serverOf) };
  }
  const schema = schemaOf(response_schema) ?? schemaOf(given.response_schema) ?? schemaOf(given.schema);
  if (schema) return { kind: "schema", schema, about: value };
  if (Array.isArray(given.action_requests) && given.action_requests.length > 0) {
    return { kind: "review", actions: given.action_requests.map((request) => reviewed(request, given.review_configs)) };
  }
  const inbox = record(Array.isArray(value) ? value[0] : value);
  if (record(inbox.action_request).action && inbox.config) return { kind: "inbox", action: inboxAction(inbox) };
  return { kind: "free", about: value };
}

function serverOf(connection: unknown): Server {
  const { url, authorization_url } = record(connection);
  return { url: `${url ?? ""}`, address: typeof authorization_url === "string" ? webAddress(authorization_url) : null };
}

function reviewed(request: unknown, configs: unknown): Action {
  const { name, args, description } = record(request);
  const config = (Array.isArray(configs) ? configs : []).map(record).find((each) => each.action_name === name);
  const allowed = Array.isArray(config?.allowed_decisions) ? config.allowed_decisions.map(String) : [];
  return {
    name: `${name ?? ""}`,
    args: args ?? {},
    description: typeof description === "string" ? description : null,
    allowed: allowed.length ? allowed : ["approve", "edit", "reject"],
  };
}

const INBOX: [string, string][] = [
  ["allow_accept", "accept"],
  ["allow_edit", "edit"],
  ["allow_respond", "response"],
  ["allow_ignore", "ignore"],
];

function inboxAction(inbox: Record<string, unknown>): Action {
  const { action, args } = record(inbox.action_request);
  const config = record(inbox.config);
  return {
    name: `${action}`,
    args: args ?? {},
    description: typeof inbox.description === "string" ? inbox.description : null,
    allowed: INBOX.filter(([flag]) => config[flag]).map(([, decision]) => decision),
  };
}

function schemaOf(value: unknown): ObjectSchema | null {
  const { type, properties, required } = record(value);
  if (type !== "object" || Object.keys(record(properties)).length === 0) return null;
  return {
    properties: record(properties) as Record<string, Property>,
    required: Array.isArray(required) ? required.map(String) : [],
  };
}

/** A decision about one action. `text`: arguments as JSON for "edit", words for "reject" and "response". */
export interface Decision {
  type: string;
  text: string;
}

/** The value of one decision, or why it cannot be sent. */
export function decide(kind: "review" | "inbox", action: Action, { type, text }: Decision): Answer {
  if (type === "edit") {
    const parsed = parse(text);
    if ("error" in parsed) return { error: `${action.name}: ${parsed.error}` };
    if (kind === "inbox") return { value: { type, args: { action: action.name, args: parsed.value } } };
    return { value: { type, edited_action: { name: action.name, args: parsed.value } } };
  }
  if (kind === "inbox") return { value: { type, args: type === "response" ? text : null } };
  return { value: text && type !== "approve" ? { type, message: text } : { type } };
}

export type Answer = { value: unknown } | { error: string };

export function parse(text: string): Answer {
  try {
    return { value: JSON.parse(text) };
  } catch (thrown) {
    return { error: thrown instanceof Error ? thrown.message : "This is no JSON." };
  }
}

/** The object of a form's fields, each written as text. */
export function fill({ properties, required }: ObjectSchema, fields: Record<string, string>): Answer {
  const value: Record<string, unknown> = {};
  for (const [name, property] of Object.entries(properties)) {
    const text = fields[name] ?? initialOf(property);
    if (text === "" && property.type !== "string") {
      if (required.includes(name)) return { error: `${property.title ?? name} is required.` };
      continue;
    }
    if (text === "" && !required.includes(name)) continue;
    const read = readField(property, text);
    if ("error" in read) return { error: `${property.title ?? name}: ${read.error}` };
    value[name] = read.value;
  }
  return { value };
}

/** The first text of a field. */
export function initialOf({ default: preset }: Property): string {
  if (preset === undefined || preset === null) return "";
  return typeof preset === "string" ? preset : JSON.stringify(preset);
}

function readField({ type, enum: choices }: Property, text: string): Answer {
  if (choices) return { value: choices.find((choice) => `${choice}` === text) };
  if (type === "string" || type === undefined) return { value: text };
  const parsed = parse(text);
  if ("error" in parsed)
    return { error: `this must be ${type === "array" || type === "object" ? "JSON" : `a ${type}`}.` };
  const fits =
    type === "integer"
      ? Number.isInteger(parsed.value)
      : type === "number" || type === "boolean"
        ? typeof parsed.value === type
        : true;
  return fits ? parsed : { error: `this must be ${type === "integer" ? "an integer" : `a ${type}`}.` };
}

/** The command that answers all interrupts, each by its id; a single one without an id by its value. */
export function resumeWith(interrupts: Interrupt[], values: unknown[]): Command {
  const ids = interrupts.map((interrupt) => interrupt.id);
  if (ids.every((id): id is string => typeof id === "string")) {
    return { resume: Object.fromEntries(ids.map((id, index) => [id, values[index]])) };
  }
  return { resume: values[0] };
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
