import { Boxes } from "lucide-react";
import { definePage } from "../../app/page";

export default definePage({
  title: "Fleet",
  path: "/fleet",
  icon: Boxes,
  order: 5,
  operation: "instances.search",
  load: () => import("./FleetPage"),
});
