import { type Block, blocksOf } from "./content";

export interface ToolCallChunk {
  name?: string | null;
  args?: string | null;
  id?: string | null;
  index?: number | string | null;
}

/** A message as the API writes it. `live` and the members after it are the page's own. */
export interface Message {
  id: string;
  type: string;
  content: unknown;
  name?: string | null;
  tool_calls?: { id?: string | null; name: string; args: unknown }[];
  invalid_tool_calls?: { id?: string | null; name?: string | null; args?: unknown; error?: string | null }[];
  tool_call_chunks?: ToolCallChunk[];
  tool_call_id?: string;
  artifact?: unknown;
  status?: string;
  usage_metadata?: { input_tokens?: number; output_tokens?: number } | null;
  /** Came from the stream and is not in the thread's state yet. */
  live?: boolean;
  /** The part of the graph that wrote it, if that is a subgraph. */
  from?: string;
  /** The run ended before the thread kept it. */
  lost?: boolean;
}

/** A tool call for the eye: arguments are parsed once they are whole. */
export interface ToolCall {
  id: string;
  name: string;
  args: unknown;
  /** The arguments as far as they were written, while they are no whole JSON; or those that never became it. */
  text?: string;
  error?: string | null;
}

export const isAssistant = (message: Message) => message.type === "ai" || message.type === "AIMessageChunk";

/** Append a chunk to what came before of its message. */
export function merge(before: Message, chunk: Message): Message {
  return {
    ...before,
    ...definedOf(chunk),
    content: mergeContent(before.content, chunk.content),
    tool_call_chunks: mergeCalls(before.tool_call_chunks ?? [], chunk.tool_call_chunks ?? []),
    name: before.name ?? chunk.name,
    usage_metadata: chunk.usage_metadata ?? before.usage_metadata,
  };
}

function definedOf(chunk: Message): Partial<Message> {
  return Object.fromEntries(Object.entries(chunk).filter(([, value]) => value !== null && value !== undefined));
}

function mergeContent(before: unknown, added: unknown): unknown {
  if (typeof before === "string" && typeof added === "string") return before + added;
  if (before === "" || before === undefined) return added;
  if (added === "" || added === undefined || added === null) return before;
  const merged: Block[] = [...blocksOf(before)];
  for (const block of blocksOf(added)) addBlock(merged, block);
  return merged;
}

function addBlock(blocks: Block[], block: Block) {
  const last = blocks.at(-1);
  if (typeof block === "object" && typeof last === "object" && isSamePart(last, block)) {
    const key = typeof block.text === "string" ? "text" : "thinking";
    blocks[blocks.length - 1] = { ...last, ...block, [key]: `${last[key] ?? ""}${block[key] ?? ""}` };
  } else blocks.push(block);
}

function isSamePart(last: Record<string, unknown>, block: Record<string, unknown>): boolean {
  return last.type === block.type && last.index === block.index && ("text" in block || "thinking" in block);
}

function mergeCalls(before: ToolCallChunk[], added: ToolCallChunk[]): ToolCallChunk[] {
  const merged = [...before];
  for (const chunk of added) {
    const at = merged.findIndex(
      (each) => chunk.index !== null && chunk.index !== undefined && each.index === chunk.index,
    );
    const known = merged[at];
    if (!known) merged.push(chunk);
    else
      merged[at] = {
        index: known.index,
        id: known.id || chunk.id,
        name: known.name || chunk.name,
        args: `${known.args ?? ""}${chunk.args ?? ""}`,
      };
  }
  return merged;
}

/** The tool calls of a message, whole or as far as they came. */
export function callsOf(message: Message): ToolCall[] {
  if (message.live && message.tool_call_chunks?.length) return message.tool_call_chunks.map(fromChunk);
  const whole = (message.tool_calls ?? []).map((call, index) => ({
    id: call.id ?? `${message.id}-${index}`,
    name: call.name,
    args: call.args,
  }));
  const invalid = (message.invalid_tool_calls ?? []).map((call, index) => ({
    id: call.id ?? `${message.id}-invalid-${index}`,
    name: call.name ?? "",
    args: undefined,
    text: `${call.args ?? ""}`,
    error: call.error ?? "The arguments are no JSON.",
  }));
  return [...whole, ...invalid];
}

function fromChunk({ id, name, args, index }: ToolCallChunk): ToolCall {
  const text = args ?? "";
  const known = { id: id ?? `${index}`, name: name ?? "" };
  try {
    return { ...known, args: JSON.parse(text) };
  } catch {
    return { ...known, args: undefined, text };
  }
}
