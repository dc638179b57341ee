import { Database } from "lucide-react";
import { definePage } from "../../app/page";
import { readPlace } from "./place";

export default definePage({
  title: "Store",
  path: "/store",
  icon: Database,
  order: 6,
  operation: "store.read",
  search: readPlace,
  load: () => import("./StorePage"),
});
