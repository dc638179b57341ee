import { asObject } from "./configuration";

export interface SchemaField {
  name: string;
  type: string;
  isRequired: boolean;
  /** The default value, as JSON. Empty without one. */
  initial: string;
  about: string;
}

/** The properties of a JSON schema, of the schema itself or of the definition that it refers to. */
export function fieldsOf(schema: unknown): SchemaField[] {
  const root = asObject(schema);
  const target = resolve(root, root);
  const required = Array.isArray(target.required) ? target.required : [];
  return Object.entries(asObject(target.properties)).map(([name, property]) => ({
    name,
    type: typeOf(asObject(property), 0),
    isRequired: required.includes(name),
    initial: initialOf(asObject(property)),
    about: String(asObject(property).description ?? ""),
  }));
}

function resolve(root: Record<string, unknown>, schema: Record<string, unknown>): Record<string, unknown> {
  const name = nameOf(schema.$ref);
  return name ? asObject(asObject(root.$defs ?? root.definitions)[name]) : schema;
}

const nameOf = (reference: unknown) => (typeof reference === "string" ? reference.split("/").at(-1) : undefined);

function initialOf(property: Record<string, unknown>): string {
  return "default" in property ? JSON.stringify(property.default) : "";
}

const MAX_DEPTH = 3;
const MAX_CHOICES = 4;

function typeOf(property: Record<string, unknown>, depth: number): string {
  if (depth > MAX_DEPTH) return "…";
  const choices = property.anyOf ?? property.oneOf;
  if (Array.isArray(choices)) return joined(choices.map((choice) => typeOf(asObject(choice), depth + 1)));
  if (Array.isArray(property.enum)) return joined(property.enum.map((value) => JSON.stringify(value)));
  if (property.const !== undefined) return JSON.stringify(property.const);
  if (property.items) return `${typeOf(asObject(property.items), depth + 1)}[]`;
  return (
    nameOf(property.$ref) ?? (Array.isArray(property.type) ? property.type.join(" | ") : `${property.type ?? "any"}`)
  );
}

function joined(types: string[]): string {
  const known = [...new Set(types)];
  const text = known.slice(0, MAX_CHOICES).join(" | ");
  return known.length > MAX_CHOICES ? `(${text} | …)` : known.length > 1 ? `(${text})` : text;
}
