import { Database } from "lucide-react";
import { definePage } from "../../app/page";

export default definePage({
  title: "Store",
  path: "/store",
  icon: Database,
  order: 6,
  operation: "store.read",
  load: () => import("./StorePage"),
});
