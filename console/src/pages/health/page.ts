import { HeartPulse } from "lucide-react";
import { definePage } from "../../app/page";

/** No operation: everybody may read /ok. The checks of doctor are for administrators. */
export default definePage({
  title: "Health",
  path: "/health",
  icon: HeartPulse,
  order: 10,
  load: () => import("./HealthPage"),
});
