/** The object that a text is, or why it is none. */
export function parseObject(text: string): { value: Record<string, unknown> } | { error: string } {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return { value: value as Record<string, unknown> };
    }
    return { error: "This must be a JSON object: { … }." };
  } catch (thrown) {
    return { error: thrown instanceof Error ? thrown.message : "This is no JSON." };
  }
}

interface Schema {
  type?: unknown;
  default?: unknown;
  properties?: Record<string, Schema>;
}

const EMPTY: Record<string, unknown> = { string: "", number: 0, integer: 0, boolean: false, array: [], object: {} };

/** An input to begin with: each property of the schema with its default, or with the empty value of its type. */
export function skeletonOf(schema: unknown): string {
  const properties = (schema as Schema | null)?.properties ?? {};
  const values = Object.entries(properties).map(([name, { type, default: preset }]) => [
    name,
    preset ?? (typeof type === "string" ? (EMPTY[type] ?? null) : null),
  ]);
  return JSON.stringify(Object.fromEntries(values), null, 2);
}

/** Whether the input of a graph has messages, so that one can talk to it. Unknown schemas have. */
export function takesMessages(schema: unknown): boolean {
  const properties = (schema as Schema | null | undefined)?.properties;
  return !properties || Object.keys(properties).length === 0 || "messages" in properties;
}
