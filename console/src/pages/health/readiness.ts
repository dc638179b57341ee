type Part = Record<string, unknown>;

/** Whether a part of `GET /ok` reports no failure. Parts have `ok`, or what agent sync counts. */
export const isWell = (part: Part) =>
  part.ok !== false && typeof part.failure !== "string" && !(typeof part.failed === "number" && part.failed > 0);

/** The members of a part: "scope all, feed yes, total 5". */
export function wordsOf(part: Part): string {
  const words = Object.entries(part)
    .filter(([name]) => name !== "ok")
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${word(value)}`);
  return words.length ? words.join(", ") : isWell(part) ? "works" : "does not answer";
}

function word(value: unknown): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (value === null) return "none";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
