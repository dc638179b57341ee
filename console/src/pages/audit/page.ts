import { ScrollText } from "lucide-react";
import { definePage } from "../../app/page";
import { readAuditFilters } from "./filters";

export default definePage({
  title: "Audit",
  path: "/audit",
  icon: ScrollText,
  order: 9,
  operation: "audit.read",
  search: readAuditFilters,
  load: () => import("./AuditPage"),
});
