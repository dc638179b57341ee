import { ScrollText } from "lucide-react";
import { definePage } from "../../app/page";

export default definePage({
  title: "Audit",
  path: "/audit",
  icon: ScrollText,
  order: 9,
  operation: "audit.read",
  load: () => import("./AuditPage"),
});
