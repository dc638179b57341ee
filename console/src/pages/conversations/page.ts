import { MessagesSquare } from "lucide-react";
import { definePage } from "../../app/page";

export default definePage({
  title: "Conversations",
  path: "/conversations",
  icon: MessagesSquare,
  order: 3,
  operation: "threads.search",
  load: () => import("./ConversationsPage"),
});
