import { Pause, Play } from "lucide-react";
import { Button } from "../../components/Button";

/** Whether the list renews itself. It does not while older pages are loaded. */
export function LiveSwitch({
  isOn,
  isPossible,
  onChange,
}: {
  isOn: boolean;
  isPossible: boolean;
  onChange: (isOn: boolean) => void;
}) {
  const Icon = isOn ? Pause : Play;
  return (
    <Button
      look="quiet"
      aria-pressed={isOn}
      disabled={!isPossible}
      title={isPossible ? undefined : "The list stands still while older runs are loaded."}
      onClick={() => onChange(!isOn)}
    >
      <Icon size={14} aria-hidden /> Live
    </Button>
  );
}
