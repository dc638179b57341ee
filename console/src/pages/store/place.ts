/** Where the browser of the store is, as it stands in the address. `ns`: labels joined by periods. */
export interface Place {
  ns?: string;
  q?: string;
  by?: "meaning";
  filter?: string;
}

export function readPlace(raw: Record<string, unknown>): Record<string, unknown> & Place {
  const text = (name: string) => {
    const value = raw[name];
    // The router reads numbers and objects in the address as such.
    if (typeof value === "object" && value !== null) return { [name]: JSON.stringify(value) };
    return value === undefined || value === "" ? {} : { [name]: String(value) };
  };
  return {
    ...text("ns"),
    ...text("q"),
    ...text("filter"),
    ...(raw.by === "meaning" ? { by: "meaning" as const } : {}),
  };
}

export const labelsOf = (ns: string | undefined) => (ns ? ns.split(".") : []);

/** The labels one level below a namespace, of namespaces that were cut to that level. */
export function childrenOf(namespaces: string[][], parent: string[]): string[] {
  const labels = namespaces.flatMap((each) => (each.length > parent.length ? [each[parent.length] ?? ""] : []));
  return [...new Set(labels)].sort();
}

/** A JSON object that a user typed. Null: it is none. */
export function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

interface Named {
  namespace: string[];
  key: string;
  value: unknown;
}

/** Whether an item has the text in its name or its value. */
export function hasText(item: Named, text: string): boolean {
  const wanted = text.toLowerCase();
  return [...item.namespace, item.key, JSON.stringify(item.value)].some((each) => each.toLowerCase().includes(wanted));
}
