import { Cable } from "lucide-react";
import { definePage } from "../../app/page";

export default definePage({
  title: "Connections",
  path: "/connections",
  icon: Cable,
  order: 8,
  operation: "connections.read",
  load: () => import("./ConnectionsPage"),
});
