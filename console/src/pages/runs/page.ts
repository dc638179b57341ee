import { Activity } from "lucide-react";
import { definePage } from "../../app/page";

export default definePage({
  title: "Runs",
  path: "/runs",
  icon: Activity,
  order: 4,
  operation: "threads.search",
  load: () => import("./RunsPage"),
});
