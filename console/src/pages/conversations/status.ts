import type { Tone } from "../../components/Badge";

/** The colours of a thread's status. */
export const STATUS_TONES: Record<string, Tone> = {
  idle: "neutral",
  busy: "accent",
  interrupted: "warn",
  error: "bad",
};
