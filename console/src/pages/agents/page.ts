import { Bot } from "lucide-react";
import { definePage } from "../../app/page";
import { readFilters, readTab } from "./filters";

export default definePage({
  title: "Agents",
  path: "/agents",
  icon: Bot,
  order: 2,
  operation: "assistants.search",
  search: readFilters,
  load: () => import("./AgentsPage"),
  below: [{ path: "/agents/$assistantId", load: () => import("./AgentPage"), search: readTab }],
});
