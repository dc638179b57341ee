import { useDebounce } from "use-debounce";

const MILLISECONDS = 250;

/** A text as it was when its writer last paused. The server is asked for a word, not for each of its letters. */
export function useSettled(text: string | undefined): string | undefined {
  return useDebounce(text, MILLISECONDS)[0];
}
