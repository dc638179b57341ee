import { Activity } from "lucide-react";
import { definePage } from "../../app/page";
import { readFilters } from "./filters";

export default definePage({
  title: "Runs",
  path: "/runs",
  icon: Activity,
  order: 4,
  operation: "runs.search",
  search: readFilters,
  load: () => import("./RunsPage"),
  below: [{ path: "/runs/$threadId/$runId", load: () => import("./RunPage") }],
});
