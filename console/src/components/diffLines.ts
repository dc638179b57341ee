export type Change = "same" | "added" | "removed";

export interface DiffLine {
  change: Change;
  text: string;
  /** Line numbers, from 1. Null on the side that does not have the line. */
  before: number | null;
  after: number | null;
}

const MAX_CELLS = 4_000_000;

/** The lines of two texts, with the longest common subsequence kept. Huge texts are shown as replaced as a whole. */
export function diffLines(before: string, after: string): DiffLine[] {
  const left = before === "" ? [] : before.split("\n");
  const right = after === "" ? [] : after.split("\n");
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start++;
  let end = 0;
  while (end < left.length - start && end < right.length - start && left.at(-1 - end) === right.at(-1 - end)) end++;
  const middle = changed(left.slice(start, left.length - end), right.slice(start, right.length - end));
  const same = (text: string): [Change, string] => ["same", text];
  const tail = left.slice(left.length - end);
  return numbered([...left.slice(0, start).map(same), ...middle, ...tail.map(same)]);
}

function changed(left: string[], right: string[]): [Change, string][] {
  if (left.length * right.length > MAX_CELLS) {
    return [
      ...left.map((text): [Change, string] => ["removed", text]),
      ...right.map((text): [Change, string] => ["added", text]),
    ];
  }
  const lengths = commonLengths(left, right);
  const lines: [Change, string][] = [];
  let row = 0;
  let column = 0;
  const at = (i: number, j: number) => lengths[i]?.[j] ?? 0;
  while (row < left.length || column < right.length) {
    const [a, b] = [left[row], right[column]];
    if (a !== undefined && a === b) {
      lines.push(["same", a]);
      row++;
      column++;
    } else if (a !== undefined && (b === undefined || at(row + 1, column) >= at(row, column + 1))) {
      lines.push(["removed", a]);
      row++;
    } else if (b !== undefined) {
      lines.push(["added", b]);
      column++;
    }
  }
  return lines;
}

/** `lengths[i][j]`: how many lines the ends of both texts, from i and j, have in common. */
function commonLengths(left: string[], right: string[]): Uint32Array[] {
  const lengths = Array.from({ length: left.length + 1 }, () => new Uint32Array(right.length + 1));
  for (let i = left.length - 1; i >= 0; i--) {
    const [row, below] = [lengths[i], lengths[i + 1]];
    if (!row || !below) continue;
    for (let j = right.length - 1; j >= 0; j--) {
      row[j] = left[i] === right[j] ? (below[j + 1] ?? 0) + 1 : Math.max(below[j] ?? 0, row[j + 1] ?? 0);
    }
  }
  return lengths;
}

function numbered(lines: [Change, string][]): DiffLine[] {
  let before = 0;
  let after = 0;
  return lines.map(([change, text]) => ({
    change,
    text,
    before: change === "added" ? null : ++before,
    after: change === "removed" ? null : ++after,
  }));
}
