import { KeyRound } from "lucide-react";
import { definePage } from "../../app/page";

export default definePage({
  title: "Keys",
  path: "/keys",
  icon: KeyRound,
  order: 7,
  operation: "keys.read",
  load: () => import("./KeysPage"),
});
