import { HeartPulse } from "lucide-react";
import { definePage } from "../../app/page";

export default definePage({
  title: "Health",
  path: "/health",
  icon: HeartPulse,
  order: 10,
  operation: "metrics.read",
  load: () => import("./HealthPage"),
});
