import { MessagesSquare } from "lucide-react";
import { definePage } from "../../app/page";
import { readFilters } from "./filters";

const text = (value: unknown) => (typeof value === "string" && value ? value : undefined);

export default definePage({
  title: "Conversations",
  path: "/conversations",
  icon: MessagesSquare,
  order: 3,
  operation: "threads.search",
  search: readFilters,
  load: () => import("./ConversationsPage"),
  below: [
    {
      path: "/conversations/new",
      load: () => import("./NewPage"),
      search: (raw) => ({ agent: text(raw.agent) }),
    },
    {
      path: "/conversations/$threadId",
      load: () => import("./ThreadPage"),
      search: (raw) => ({
        checkpoint: text(raw.checkpoint),
        history: raw.history === true ? true : undefined,
      }),
    },
  ],
});
