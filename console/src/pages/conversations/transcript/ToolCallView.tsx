import { ChevronRight, Wrench } from "lucide-react";
import { memo } from "react";
import { Badge, type Tone } from "../../../components/Badge";
import { JsonView } from "../../../components/JsonView";
import { blocksOf, textOf } from "../thread/content";
import type { Message, ToolCall } from "../thread/messages";
import { ContentView } from "./ContentView";

/** A tool call: its name and state in one line, arguments and result behind it. */
export const ToolCallView = memo(function ToolCallView({
  call,
  result,
  running,
}: {
  call: ToolCall;
  result: Message | undefined;
  running: boolean;
}) {
  const [tone, word] = stateOf(call, result, running);
  return (
    <details className="group rounded-md border bg-surface" open={hasMedia(result)}>
      <summary className="flex min-h-9 list-none items-center gap-2 px-2.5">
        <ChevronRight size={14} aria-hidden className="shrink-0 text-faint group-open:rotate-90" />
        <Wrench size={14} aria-hidden className="shrink-0 text-faint" />
        <code className="max-w-[45%] shrink-0 truncate font-mono text-xs font-medium">{call.name || "…"}</code>
        <span className="min-w-0 flex-1 truncate font-mono text-xs text-faint">
          {call.text ?? shortArgs(call.args)}
        </span>
        <Badge tone={tone}>{word}</Badge>
      </summary>
      <div className="space-y-3 border-t p-3">
        <Part title="Arguments">
          {call.text !== undefined ? (
            <pre className="overflow-x-auto font-mono text-xs whitespace-pre-wrap">{call.text || "…"}</pre>
          ) : (
            <JsonView value={call.args} maxHeight={240} />
          )}
          {call.error && <p className="mt-1 text-bad">{call.error}</p>}
        </Part>
        {result && <ToolResult result={result} />}
      </div>
    </details>
  );
});

/** What a tool gave back: its content, and the structured content that the model may not have read. */
export function ToolResult({ result }: { result: Message }) {
  const structured = structuredOf(result.artifact);
  return (
    <>
      <Part title={result.status === "error" ? "Error" : "Result"}>
        <div className="space-y-2">
          {blocksOf(result.content).length ? (
            <ContentView content={resultContent(result)} />
          ) : (
            <span className="text-faint">(nothing)</span>
          )}
        </div>
      </Part>
      {structured !== undefined && (
        <Part title="Structured content">
          <JsonView value={structured} maxHeight={320} />
        </Part>
      )}
    </>
  );
}

function Part({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <section>
      <h3 className="mb-1 text-xs font-medium text-faint">{title}</h3>
      {children}
    </section>
  );
}

/** JSON that a tool wrote as text is readable when it is laid out. */
function resultContent({ content }: Message): unknown {
  if (typeof content !== "string" || !/^\s*[[{]/.test(content)) return content;
  try {
    return JSON.stringify(JSON.parse(content), null, 2);
  } catch {
    return content;
  }
}

function structuredOf(artifact: unknown): unknown {
  if (artifact === null || artifact === undefined) return undefined;
  if (typeof artifact === "object" && "structured_content" in artifact) return artifact.structured_content ?? undefined;
  return artifact;
}

const hasMedia = (result: Message | undefined) =>
  result !== undefined && blocksOf(result.content).length > 0 && textOf(result.content) === "";

function shortArgs(args: unknown): string {
  const text = JSON.stringify(args) ?? "";
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function stateOf(call: ToolCall, result: Message | undefined, running: boolean): [Tone, string] {
  if (call.error) return ["bad", "not readable"];
  if (result) return result.status === "error" ? ["bad", "failed"] : ["good", "done"];
  return running ? ["accent", "running"] : ["neutral", "no result"];
}
