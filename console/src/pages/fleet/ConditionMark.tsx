import { Badge, type Tone } from "../../components/Badge";
import { classes } from "../../components/classes";
import { type Condition, describeCondition } from "./instances";

export const FILLS: Record<Tone, string> = {
  neutral: "bg-faint",
  accent: "bg-accent",
  good: "bg-good",
  warn: "bg-warn",
  bad: "bg-bad",
};

export function ConditionBadge({ condition }: { condition: Condition }) {
  const { title, tone, about } = describeCondition(condition);
  return (
    <span title={about}>
      <Badge tone={tone}>
        <span className={classes("size-1.5 rounded-full", FILLS[tone])} />
        {title}
      </Badge>
    </span>
  );
}
