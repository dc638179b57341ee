const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const LONG = 3_000;

/**
 * Parts of a text that is still being written, so that only its end is parsed again for each frame. They are cut at
 * blank lines before plain paragraphs, never in a fenced block or a list. A short text is one part.
 */
export function paragraphsOf(text: string): string[] {
  if (text.length < LONG) return [text];
  const parts: string[] = [];
  let fence: string | null = null;
  let part: string[] = [];
  for (const line of text.split("\n")) {
    const isNew = part.at(-1) === "" && fence === null && /^[^\s\-*+\d>|[]/.test(line);
    if (isNew) {
      parts.push(part.join("\n"));
      part = [];
    }
    const mark = FENCE.exec(line)?.[1];
    if (mark) fence = fence === null ? mark : line.trim().startsWith(fence) ? null : fence;
    part.push(line);
  }
  return [...parts, part.join("\n")];
}
