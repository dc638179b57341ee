import type { LucideIcon } from "lucide-react";
import type { ComponentType } from "react";

type Load = () => Promise<{ default: ComponentType }>;

/** An address below a page, such as that of one agent: "/agents/$assistantId". */
export interface SubPage {
  path: string;
  load: Load;
  /** Reads the query of the address. Unknown parameters are dropped. */
  search?: (raw: Record<string, unknown>) => Record<string, unknown>;
}

/** The default export of `pages/<page>/page.ts`: an entry of the navigation, and how its code is loaded. */
export interface Page extends SubPage {
  title: string;
  icon: LucideIcon;
  /** The place in the navigation, from the top. */
  order: number;
  /** The operation of the permission table that a caller needs to see the entry. */
  operation?: string;
  below?: SubPage[];
}

export const definePage = (page: Page): Page => page;
