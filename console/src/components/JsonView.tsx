import { type ReactNode, useState } from "react";
import { Button } from "./Button";
import { CopyButton } from "./CopyButton";
import { Dialog } from "./Dialog";

/** JSON as text. Values are text nodes, never markup, whatever they contain. */
export function JsonView({ value, maxHeight = 480 }: { value: unknown; maxHeight?: number }) {
  const text = JSON.stringify(value, null, 2) ?? "null";
  return (
    <div className="relative rounded-md border bg-sunken">
      <div className="absolute top-1 right-1">
        <CopyButton text={text} label="Copy the JSON" />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section aria-label="JSON" tabIndex={0} className="overflow-auto p-3 pr-10" style={{ maxHeight }}>
        <pre className="font-mono text-xs leading-5">{colored(text)}</pre>
      </section>
    </div>
  );
}

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const COLORED_CHARACTERS = 200_000;

function colored(text: string): ReactNode {
  if (text.length > COLORED_CHARACTERS) return text;
  const parts: ReactNode[] = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    parts.push(text.slice(end, match.index));
    end = match.index + match[0].length;
    parts.push(
      <span key={match.index} className={colorOf(match)}>
        {match[0]}
      </span>,
    );
  }
  parts.push(text.slice(end));
  return parts;
}

function colorOf([, string, colon]: RegExpMatchArray): string {
  if (colon) return "text-soft";
  return string ? "text-good" : "text-accent";
}

/** A button that shows the raw JSON of what is on the page. */
export function JsonButton({ value, title, label = "JSON" }: { value: unknown; title: string; label?: string }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button look="quiet" onClick={() => setOpen(true)}>
        {label}
      </Button>
      <Dialog title={title} open={open} onClose={() => setOpen(false)}>
        <JsonView value={value} />
      </Dialog>
    </>
  );
}
