import { Gauge } from "lucide-react";
import { definePage } from "../../app/page";

export default definePage({
  title: "Overview",
  path: "/overview",
  icon: Gauge,
  order: 1,
  operation: "metrics.read",
  load: () => import("./OverviewPage"),
});
