import { Boxes } from "lucide-react";
import { definePage } from "../../app/page";
import { readFilters } from "./groups";

export default definePage({
  title: "Fleet",
  path: "/fleet",
  icon: Boxes,
  order: 5,
  operation: "instances.search",
  search: readFilters,
  load: () => import("./FleetPage"),
  below: [{ path: "/fleet/$registrationId", load: () => import("./InstancePage") }],
});
