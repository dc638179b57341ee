import { classes } from "../../components/classes";
import { FILLS } from "./ConditionMark";
import { type Counts, ordered } from "./groups";

/** How many are in which state, as a bar and in words. */
export function CountsBar({ counts, total, wide = false }: { counts: Counts; total: number; wide?: boolean }) {
  const parts = ordered(counts);
  return (
    <span className="flex min-w-0 items-center gap-3">
      <span
        className={classes("flex h-1.5 shrink-0 gap-px overflow-hidden rounded-full", wide ? "w-40" : "w-24")}
        aria-hidden
      >
        {parts.map((part) => (
          <span
            key={part.id}
            className={FILLS[part.tone]}
            style={{ width: `${(100 * part.count) / total}%`, minWidth: 3 }}
          />
        ))}
      </span>
      <span className="truncate text-xs text-soft tabular-nums">
        {parts.map((part) => `${part.count.toLocaleString("en")} ${part.title.toLowerCase()}`).join(" · ")}
      </span>
    </span>
  );
}
