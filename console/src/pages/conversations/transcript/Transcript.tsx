import { ArrowDown } from "lucide-react";
import { type ReactNode, useCallback, useLayoutEffect, useMemo, useRef, useState } from "react";
import { Button } from "../../../components/Button";
import { callsOf, isAssistant, type Message } from "../thread/messages";
import { MessageView } from "./MessageView";

const NEAR = 48;
const NO_RESULTS: Message[] = [];

/** The messages in a box that scrolls. It follows the end while the reader is there, and stays put otherwise. */
export function Transcript({
  messages,
  running,
  children,
}: {
  messages: Message[];
  running: boolean;
  children?: ReactNode;
}) {
  const { shown, results } = useMemo(() => pair(messages), [messages]);
  const scroller = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const lastTop = useRef(0);
  const [isAtEnd, setIsAtEnd] = useState(true);
  const toEnd = useCallback(() => {
    const box = scroller.current;
    if (!box) return;
    box.scrollTop = box.scrollHeight;
    lastTop.current = box.scrollTop;
  }, []);
  const note = () => {
    const box = scroller.current;
    if (!box) return;
    following.current = isNearEnd(box);
    setIsAtEnd(following.current);
  };
  useLayoutEffect(() => {
    const box = scroller.current;
    if (!box?.firstElementChild) return;
    const observer = new ResizeObserver(() => {
      // The reader has scrolled up, and the event of that comes only after this.
      if (box.scrollTop < lastTop.current && !isNearEnd(box)) following.current = false;
      if (following.current) toEnd();
    });
    observer.observe(box.firstElementChild);
    return () => observer.disconnect();
  }, [toEnd]);

  return (
    <div className="relative min-h-0 flex-1">
      <section
        ref={scroller}
        onScroll={note}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        tabIndex={0}
        aria-label="Messages"
        className="h-full overflow-y-auto px-1"
      >
        <div role="log" aria-live="off" className="mx-auto max-w-3xl space-y-3 py-4">
          {shown.map((message) => (
            <MessageView
              key={message.id}
              message={message}
              results={results.get(message.id) ?? NO_RESULTS}
              running={running}
            />
          ))}
          {children}
        </div>
      </section>
      {!isAtEnd && (
        <div className="pointer-events-none absolute inset-x-0 bottom-2 flex justify-center">
          <Button className="pointer-events-auto shadow-md" onClick={toEnd}>
            <ArrowDown size={14} aria-hidden />
            To the end
          </Button>
        </div>
      )}
    </div>
  );
}

function isNearEnd(box: HTMLElement): boolean {
  return box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
}

/** Give the tool messages to the messages that called; what nobody called is shown by itself. */
function pair(messages: Message[]): { shown: Message[]; results: Map<string, Message[]> } {
  const callers = new Map<string, string>();
  const results = new Map<string, Message[]>();
  const shown: Message[] = [];
  for (const message of messages) {
    const caller = message.type === "tool" ? callers.get(message.tool_call_id ?? "") : undefined;
    if (caller === undefined) shown.push(message);
    else results.set(caller, [...(results.get(caller) ?? []), message]);
    if (isAssistant(message)) for (const call of callsOf(message)) callers.set(call.id, message.id);
  }
  return { shown, results };
}
