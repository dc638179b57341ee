import { Link, type LinkProps } from "@tanstack/react-router";
import { ArrowLeft } from "lucide-react";

/** The way from a page to the list that it belongs to. */
export function BackLink({ to, children }: Pick<LinkProps, "to"> & { children: string }) {
  return (
    <p className="mb-1">
      <Link to={to} search={{} as never} className="inline-flex items-center gap-1 text-soft hover:text-ink">
        <ArrowLeft size={14} aria-hidden /> {children}
      </Link>
    </p>
  );
}
