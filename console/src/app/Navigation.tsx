import { Link } from "@tanstack/react-router";
import { type Me, may } from "../api/me";
import { pages } from "./pages";

/** The pages whose operation the caller may do. */
export function Navigation({ me }: { me: Me | null | undefined }) {
  return (
    <nav aria-label="Pages" className="flex-1 overflow-y-auto px-2 py-1">
      <ul className="space-y-px">
        {pages
          .filter((page) => may(me, page.operation))
          .map((page) => (
            <li key={page.path}>
              <Link
                to={page.path}
                className="flex h-8 items-center gap-2.5 rounded-md px-2 text-soft hover:bg-sunken hover:text-ink"
                activeProps={{ className: "!bg-accent-wash !text-accent font-medium", "aria-current": "page" }}
              >
                <page.icon size={16} strokeWidth={1.75} aria-hidden />
                {page.title}
              </Link>
            </li>
          ))}
      </ul>
    </nav>
  );
}
