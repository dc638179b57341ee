import type { Page } from "./page";

const found = import.meta.glob<{ default: Page }>("../pages/*/page.ts", { eager: true });

/** All pages, in the order of the navigation. A new folder in `pages/` is found by itself. */
export const pages: Page[] = Object.values(found)
  .map((module) => module.default)
  .sort((a, b) => a.order - b.order);
