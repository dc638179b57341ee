/** JSON, and the names of its members: `snake_case` in messages, `camelCase` in TypeScript. */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
/** An object whose members are checked where they are read. */
export type JsonObject = Record<string, unknown>;

/** A JSON text, which goes into a message as it is. */
export class JsonText {
  constructor(readonly text: string) {}

  /** Of its UTF-8. */
  get bytes(): number {
    return new TextEncoder().encode(this.text).length;
  }
}

/** Return JSON without the members that are undefined. Throws TypeError for what is no JSON, such as NaN. */
export function toJson(value: unknown): JsonText {
  if (value instanceof JsonText) return value;
  const text = JSON.stringify(value, (name, member: unknown) => {
    if (typeof member === "number" && !Number.isFinite(member)) throw new TypeError(`${name}: ${member} is no JSON`);
    return member;
  }) as string | undefined;
  if (text === undefined) throw new TypeError(`${typeof value} is no JSON`);
  return new JsonText(text);
}

/** Return an object. Members that are JSON texts stay as they are. Throws as `toJson`. */
export function joinMembers(members: JsonObject): JsonText {
  const given = Object.entries(members).filter(([, value]) => value !== undefined);
  return new JsonText(`{${given.map(([name, value]) => `${toJson(name).text}:${toJson(value).text}`).join(",")}}`);
}

/** Return an array of JSON texts. */
export function joinItems(items: readonly JsonText[]): JsonText {
  return new JsonText(`[${items.map((each) => each.text).join(",")}]`);
}

export function toSnakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export function toCamelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** Return the given options as params of a message. Throws TypeError for a name that is not known. */
export function toParams(given: object, known: readonly string[]): JsonObject {
  const params: JsonObject = {};
  for (const [name, value] of Object.entries(given)) {
    if (!known.includes(name)) throw new TypeError(`${name} is not known. Known: ${known.join(", ")}.`);
    if (value !== undefined) params[toSnakeCase(name)] = value;
  }
  return params;
}
