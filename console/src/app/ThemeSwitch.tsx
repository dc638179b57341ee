import { Monitor, Moon, Sun } from "lucide-react";
import { IconButton } from "../components/Button";
import { chooseTheme, type ThemeChoice, useThemeChoice } from "./theme";

const NEXT: Record<ThemeChoice, ThemeChoice> = { system: "light", light: "dark", dark: "system" };
const ICONS = { system: Monitor, light: Sun, dark: Moon };

/** Goes round the colours of the system, light and dark. */
export function ThemeSwitch() {
  const choice = useThemeChoice();
  const Icon = ICONS[choice];
  return (
    <IconButton label={`Colours: ${choice}. Change to ${NEXT[choice]}`} onClick={() => chooseTheme(NEXT[choice])}>
      <Icon size={16} strokeWidth={1.75} />
    </IconButton>
  );
}
