import type { ButtonHTMLAttributes } from "react";
import { classes } from "./classes";

const SHAPE =
  "inline-flex items-center justify-center gap-1.5 rounded-md border font-medium whitespace-nowrap disabled:cursor-not-allowed disabled:opacity-60";

type Look = "primary" | "plain" | "quiet" | "danger";

const LOOKS: Record<Look, string> = {
  primary: "bg-accent text-accent-ink border-transparent hover:brightness-110",
  plain: "bg-surface text-ink border-edge hover:bg-sunken",
  quiet: "bg-transparent text-soft border-transparent hover:bg-sunken hover:text-ink",
  danger: "bg-surface text-bad border-edge hover:bg-bad-wash",
};

export function Button({
  look = "plain",
  className,
  type = "button",
  ...rest
}: ButtonHTMLAttributes<HTMLButtonElement> & { look?: Look }) {
  return <button type={type} className={classes(SHAPE, "h-8 px-3", LOOKS[look], className)} {...rest} />;
}

/** A button with an icon alone. `label` is its name. */
export function IconButton({
  label,
  className,
  type = "button",
  small = false,
  ...rest
}: ButtonHTMLAttributes<HTMLButtonElement> & { label: string; small?: boolean }) {
  return (
    <button
      type={type}
      aria-label={label}
      title={label}
      className={classes(SHAPE, small ? "size-7" : "size-8", "shrink-0", LOOKS.quiet, className)}
      {...rest}
    />
  );
}
