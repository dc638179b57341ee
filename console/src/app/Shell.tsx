import { Outlet, useLocation } from "@tanstack/react-router";
import { Menu, X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { useMe } from "../api/me";
import { useSession } from "../api/session";
import { IconButton } from "../components/Button";
import { classes } from "../components/classes";
import { Account } from "./Account";
import { Navigation } from "./Navigation";
import { SignIn } from "./SignIn";
import { ThemeSwitch } from "./ThemeSwitch";

/** The frame of every page: navigation on the left, on a phone behind a button; or the sign-in. */
export function Shell() {
  const session = useSession();
  const me = useMe();
  const main = useRef<HTMLElement>(null);
  const [open, setOpen] = useState(false);
  const { pathname } = useLocation();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another page closes the navigation of a phone
  useEffect(() => setOpen(false), [pathname]);

  if (session.refused) return <SignIn />;
  return (
    <div className="min-h-dvh md:grid md:grid-cols-[13.5rem_minmax(0,1fr)]">
      {/* A link to #main would lead to the base of the page, which is not this page. */}
      <button
        type="button"
        onClick={() => main.current?.focus()}
        className="sr-only z-20 rounded-md bg-accent px-3 py-2 text-accent-ink focus:not-sr-only focus:absolute focus:top-2 focus:left-2"
      >
        Skip to the content
      </button>
      <aside className="sticky top-0 z-10 flex flex-col border-b bg-surface md:h-dvh md:border-r md:border-b-0">
        <div className="flex h-13 shrink-0 items-center justify-between px-3">
          <Mark />
          <IconButton
            label={open ? "Close the navigation" : "Open the navigation"}
            aria-expanded={open}
            onClick={() => setOpen(!open)}
            className="md:hidden"
          >
            {open ? <X size={18} /> : <Menu size={18} />}
          </IconButton>
        </div>
        <div className={classes("min-h-0 flex-1 flex-col md:flex", open ? "flex" : "max-md:hidden")}>
          <Navigation me={me.data} />
          <div className="flex items-center justify-between gap-2 border-t p-2">
            <Account me={me.data} />
            <ThemeSwitch />
          </div>
        </div>
      </aside>
      <main ref={main} id="main" tabIndex={-1} className="min-w-0 px-4 py-5 outline-none md:px-8 md:py-6">
        <div className="mx-auto max-w-7xl">
          <Outlet />
        </div>
      </main>
    </div>
  );
}

export function Mark() {
  return (
    <span className="flex items-center gap-2 font-semibold tracking-tight">
      <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
        <rect width="32" height="32" rx="7" className="fill-accent" />
        <path
          d="M8 24V14l8-6 8 6v10M13 24v-6h6v6"
          fill="none"
          className="stroke-accent-ink"
          strokeWidth="2.4"
          strokeLinejoin="round"
          strokeLinecap="round"
        />
      </svg>
      Agenthall
    </span>
  );
}
