import { Gauge } from "lucide-react";
import { definePage } from "../../app/page";

/** No operation: a caller without `metrics.read` gets a page with less. */
export default definePage({
  title: "Overview",
  path: "/overview",
  icon: Gauge,
  order: 1,
  search: ({ window }) => (window === "day" ? { window } : {}),
  load: () => import("./OverviewPage"),
});
