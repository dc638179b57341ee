import { classes } from "./classes";
import { type Change, type DiffLine, diffLines } from "./diffLines";

const MARKS: Record<Change, [string, string]> = {
  same: [" ", ""],
  added: ["+", "bg-good-wash"],
  removed: ["−", "bg-bad-wash"],
};
const CONTEXT = 3;

/** Two texts, or two JSON values, line by line. Lines far from a change are left out. */
export function DiffView({ before, after, label = "Changes" }: { before: unknown; after: unknown; label?: string }) {
  const lines = diffLines(text(before), text(after));
  if (lines.every((line) => line.change === "same")) return <p className="text-soft">Nothing differs.</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
    <section aria-label={label} tabIndex={0} className="overflow-auto rounded-md border font-mono text-xs leading-5">
      <table className="w-full border-collapse">
        <tbody>
          {withContext(lines).map((line, index) =>
            line ? <Row key={`${line.before}-${line.after}`} line={line} /> : <Gap key={`gap-${index.toString()}`} />,
          )}
        </tbody>
      </table>
    </section>
  );
}

function Row({ line }: { line: DiffLine }) {
  const [mark, color] = MARKS[line.change];
  return (
    <tr className={color}>
      <td className="w-10 px-2 text-right text-faint select-none">{line.before}</td>
      <td className="w-10 px-2 text-right text-faint select-none">{line.after}</td>
      <td className={classes("px-2 wrap-anywhere whitespace-pre-wrap", line.change !== "same" && "font-medium")}>
        <span className="mr-2 select-none">{mark}</span>
        {line.change !== "same" && <span className="sr-only">{line.change}: </span>}
        {line.text}
      </td>
    </tr>
  );
}

function Gap() {
  return (
    <tr>
      <td colSpan={3} className="bg-sunken px-2 text-center text-faint select-none">
        ⋯
      </td>
    </tr>
  );
}

/** The lines near a change; null stands for lines that are left out. */
function withContext(lines: DiffLine[]): (DiffLine | null)[] {
  const near = lines.map((_, index) =>
    lines.slice(Math.max(0, index - CONTEXT), index + CONTEXT + 1).some((line) => line.change !== "same"),
  );
  return lines.flatMap((line, index) => (near[index] ? [line] : near[index - 1] || index === 0 ? [null] : []));
}

function text(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? "");
}
