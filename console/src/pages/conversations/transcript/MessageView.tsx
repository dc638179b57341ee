import { memo } from "react";
import { JsonButton } from "../../../components/JsonView";
import { blocksOf } from "../thread/content";
import { callsOf, isAssistant, type Message } from "../thread/messages";
import { ContentView } from "./ContentView";
import { ToolCallView, ToolResult } from "./ToolCallView";

/** One message with its tool calls. `results` are the tool messages that answer them. */
export const MessageView = memo(function MessageView({ message, results, running }: Shown) {
  if (message.type === "human") return <HumanMessage message={message} />;
  if (!isAssistant(message)) return <OtherMessage message={message} />;
  const calls = callsOf(message);
  return (
    <article aria-label="Answer" className="group/message min-w-0 space-y-2">
      {message.from && <p className="text-xs text-faint">{message.from}</p>}
      {blocksOf(message.content).length > 0 && (
        <ContentView content={message.content} markdown live={message.live ?? false} />
      )}
      {calls.map((call) => (
        <ToolCallView
          key={call.id}
          call={call}
          result={results.find((each) => each.tool_call_id === call.id)}
          running={running}
        />
      ))}
      {message.lost && (
        <p className="text-xs text-warn">The run ended before this message was whole. The thread does not have it.</p>
      )}
      <Footer message={message} />
    </article>
  );
}, isSame);

type Shown = { message: Message; results: Message[]; running: boolean };

/** Whether nothing of a message changed: while an answer is written, all others stay as they are. */
function isSame(before: Shown, after: Shown): boolean {
  return (
    before.message === after.message &&
    (before.running === after.running || callsOf(after.message).length === 0) &&
    before.results.length === after.results.length &&
    before.results.every((result, index) => result === after.results[index])
  );
}

function HumanMessage({ message }: { message: Message }) {
  return (
    <article aria-label="Your message" className="group/message flex flex-col items-end">
      <div className="max-w-[85%] min-w-0 space-y-2 rounded-xl rounded-br-sm bg-accent-wash px-3.5 py-2">
        <ContentView content={message.content} />
      </div>
      <Footer message={message} />
    </article>
  );
}

/** A system message, or a tool message whose call is not in the thread. */
function OtherMessage({ message }: { message: Message }) {
  return (
    <article aria-label={`${message.type} message`} className="group/message rounded-md border bg-surface p-3">
      <h3 className="mb-1 text-xs font-medium text-faint">
        {[message.type, message.name].filter(Boolean).join(" · ")}
      </h3>
      <div className="space-y-2">
        {message.type === "tool" ? <ToolResult result={message} /> : <ContentView content={message.content} />}
      </div>
    </article>
  );
}

/** Tokens, and the raw message. It has its height at once, so nothing moves when the numbers come. */
function Footer({ message }: { message: Message }) {
  const { live, lost, from, ...raw } = message;
  const usage = message.usage_metadata;
  return (
    <footer className="flex h-6 items-center gap-2 text-xs text-faint">
      {usage && <span>{`${usage.input_tokens ?? 0} in · ${usage.output_tokens ?? 0} out`}</span>}
      <span className="opacity-0 group-focus-within/message:opacity-100 group-hover/message:opacity-100 max-md:opacity-100">
        {!live && <JsonButton value={raw} title="Message, as the API gives it" />}
      </span>
    </footer>
  );
}
