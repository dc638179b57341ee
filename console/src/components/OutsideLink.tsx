import { ExternalLink } from "lucide-react";
import type { ReactNode } from "react";
import { webAddress } from "./webAddress";

/** A link in the form of a button that opens a new tab. Only web addresses are links: settings and graphs may name anything. */
export function OutsideLink({ href, children }: { href: string | null | undefined; children: ReactNode }) {
  const address = webAddress(href);
  if (!address) return null;
  return (
    <a
      href={address}
      target="_blank"
      rel="noreferrer noopener"
      className="inline-flex h-8 items-center gap-1.5 rounded-md border border-edge bg-surface px-3 font-medium hover:bg-sunken"
    >
      {children} <ExternalLink size={14} aria-hidden />
      <span className="sr-only">, opens a new tab</span>
    </a>
  );
}
