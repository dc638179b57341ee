/** Random bytes as hex digits. `crypto.randomUUID` is missing on pages without https. */
export function randomHex(bytes: number): string {
  const values = crypto.getRandomValues(new Uint8Array(bytes));
  return [...values].map((each) => each.toString(16).padStart(2, "0")).join("");
}
