import { useQuery } from "@tanstack/react-query";
import { Braces, Paperclip, SendHorizontal, Square, X } from "lucide-react";
import { type ClipboardEvent, type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { langgraph } from "../../../api/langgraph";
import { toProblem } from "../../../api/problem";
import { Button, IconButton } from "../../../components/Button";
import { classes } from "../../../components/classes";
import { SelectField } from "../../../components/Field";
import type { Message } from "../thread/messages";
import { useAgent, useAgentNames } from "../useAgentNames";
import { type Attachment, Refused, readAttachment } from "./attachments";
import { parseObject, skeletonOf, takesMessages } from "./json";

export interface Sent {
  assistantId: string;
  input: Record<string, unknown>;
  /** The message in the input, to be shown at once. */
  message: Message | null;
}

/** Where a message is written: to an agent, with files; or the input of a graph without messages, as JSON. */
export function Composer({
  agentId,
  onAgent,
  running,
  onSend,
  onCancel,
  maySend,
  mayCancel = true,
}: {
  agentId: string | undefined;
  onAgent: (id: string) => void;
  running: boolean;
  onSend: (sent: Sent) => Promise<void>;
  onCancel?: () => Promise<void>;
  maySend: boolean;
  mayCancel?: boolean;
}) {
  const agents = useAgentNames();
  const agent = useAgent(agentId);
  const schemas = useSchemas(agentId);
  const [asJson, setAsJson] = useState<boolean | null>(null);
  const [text, setText] = useState("");
  const [files, setFiles] = useState<Attachment[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  const [sending, setSending] = useState(false);
  const inputSchema = schemas.data?.input_schema;
  const isJson = asJson ?? !takesMessages(inputSchema);
  const area = useRef<HTMLTextAreaElement>(null);
  const problemId = useId();
  const model = modelOf(agent.data?.config?.configurable);

  useEffect(() => {
    if (isJson && inputSchema) setText((now) => now || skeletonOf(inputSchema));
  }, [isJson, inputSchema]);

  const attach = async (chosen: Iterable<File>) => {
    for (const file of chosen) {
      try {
        const read = await readAttachment(file, model);
        setFiles((now) => [...now, read]);
      } catch (thrown) {
        if (!(thrown instanceof Refused)) throw thrown;
        setProblem(thrown.message);
      }
    }
  };
  const paste = (event: ClipboardEvent) => {
    if (isJson || event.clipboardData.files.length === 0) return;
    event.preventDefault();
    void attach(event.clipboardData.files);
  };
  const send = async () => {
    if (!agentId || sending || running || !maySend) return;
    const made = isJson ? fromJson(text) : fromText(text, files);
    if ("error" in made) return setProblem(made.error);
    setSending(true);
    setProblem(null);
    const written = { text, files };
    setText("");
    setFiles([]);
    try {
      await onSend({ assistantId: agentId, ...made });
    } catch (thrown) {
      setText(written.text);
      setFiles(written.files);
      setProblem(toProblem(thrown).message);
    } finally {
      setSending(false);
      area.current?.focus();
    }
  };
  const press = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    if (isJson && !event.metaKey && !event.ctrlKey) return;
    event.preventDefault();
    void send();
  };

  return (
    <form
      className="mx-auto w-full max-w-3xl"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      {problem && (
        <p id={problemId} role="alert" className="mb-1 wrap-anywhere text-bad">
          {problem}
        </p>
      )}
      <div className="rounded-xl border border-edge bg-surface focus-within:border-accent">
        {files.length > 0 && (
          <Files files={files} onRemove={(id) => setFiles(files.filter((each) => each.id !== id))} />
        )}
        <textarea
          ref={area}
          aria-label={isJson ? "Input as JSON" : "Message"}
          aria-describedby={problem ? problemId : undefined}
          aria-invalid={problem ? true : undefined}
          rows={isJson ? 6 : 2}
          value={text}
          disabled={!maySend}
          placeholder={maySend ? (isJson ? "{ }" : "Write a message") : "You may not start runs"}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={press}
          onPaste={paste}
          className={classes(
            "field-sizing-content block max-h-60 min-h-14 w-full resize-none bg-transparent px-3 pt-2.5 outline-none placeholder:text-faint",
            isJson && "font-mono text-xs",
          )}
        />
        <div className="flex items-center gap-1 p-1.5">
          <div className="w-44 max-md:w-32">
            <SelectField
              label="Agent"
              hideLabel
              value={agentId ?? ""}
              onChange={(event) => {
                setAsJson(null);
                onAgent(event.target.value);
              }}
              options={[
                ...(agentId ? [] : [{ value: "", title: "Choose an agent" }]),
                ...optionsOf(agents.data ?? [], agentId, agent.data?.name),
              ]}
            />
          </div>
          {!isJson && <AttachButton onChoose={attach} disabled={!maySend} />}
          <IconButton
            label={isJson ? "Write a message" : "Write the input as JSON"}
            aria-pressed={isJson}
            onClick={() => {
              setAsJson(!isJson);
              setText("");
            }}
          >
            <Braces size={16} />
          </IconButton>
          <span className="flex-1" />
          {running && onCancel ? (
            <CancelButton onCancel={onCancel} disabled={!mayCancel} onProblem={setProblem} />
          ) : (
            <Button look="primary" type="submit" disabled={!agentId || sending || running || !maySend}>
              <SendHorizontal size={14} aria-hidden />
              Send
            </Button>
          )}
        </div>
      </div>
    </form>
  );
}

function useSchemas(agentId: string | undefined) {
  return useQuery({
    queryKey: ["assistants", "schemas", agentId],
    queryFn: ({ signal }) => langgraph.assistants.getSchemas(agentId ?? "", { signal }),
    enabled: agentId !== undefined,
    staleTime: 60_000,
    retry: false,
  });
}

function optionsOf(agents: { assistant_id: string; name: string }[], chosen: string | undefined, name?: string) {
  const listed = agents.map((agent) => ({ value: agent.assistant_id, title: agent.name }));
  const isListed = !chosen || listed.some((option) => option.value === chosen);
  return isListed ? listed : [{ value: chosen, title: name ?? chosen }, ...listed];
}

function modelOf(configurable: unknown): string | null {
  const name = (configurable as Record<string, unknown> | undefined)?.model_name;
  return typeof name === "string" ? name : null;
}

function fromJson(text: string): Omit<Sent, "assistantId"> | { error: string } {
  const parsed = parseObject(text);
  return "error" in parsed ? parsed : { input: parsed.value, message: null };
}

function fromText(text: string, files: Attachment[]): Omit<Sent, "assistantId"> | { error: string } {
  if (!text.trim() && files.length === 0) return { error: "Write a message first." };
  const blocks = [...(text.trim() ? [{ type: "text", text }] : []), ...files.map((file) => file.block)];
  const written = { id: crypto.randomUUID(), type: "human", content: files.length ? blocks : text };
  return { input: { messages: [written] }, message: { ...written, live: true } };
}

function AttachButton({ onChoose, disabled }: { onChoose: (files: FileList) => void; disabled: boolean }) {
  const chooser = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={chooser}
        type="file"
        multiple
        hidden
        aria-label="Files"
        onChange={(event) => {
          if (event.target.files) onChoose(event.target.files);
          event.target.value = "";
        }}
      />
      <IconButton label="Attach pictures or text files" disabled={disabled} onClick={() => chooser.current?.click()}>
        <Paperclip size={16} />
      </IconButton>
    </>
  );
}

function Files({ files, onRemove }: { files: Attachment[]; onRemove: (id: string) => void }) {
  return (
    <ul className="flex flex-wrap gap-1.5 px-2 pt-2">
      {files.map((file) => (
        <li key={file.id} className="flex max-w-56 items-center rounded-md bg-sunken pl-2">
          <span className="truncate">{file.name}</span>
          <IconButton small label={`Remove ${file.name}`} onClick={() => onRemove(file.id)}>
            <X size={13} />
          </IconButton>
        </li>
      ))}
    </ul>
  );
}

function CancelButton({
  onCancel,
  disabled,
  onProblem,
}: {
  onCancel: () => Promise<void>;
  disabled: boolean;
  onProblem: (problem: string) => void;
}) {
  const [asked, setAsked] = useState(false);
  const cancel = async () => {
    setAsked(true);
    try {
      await onCancel();
    } catch (thrown) {
      onProblem(toProblem(thrown).message);
      setAsked(false);
    }
  };
  return (
    <Button onClick={cancel} disabled={disabled || asked}>
      <Square size={12} fill="currentColor" aria-hidden />
      {asked ? "Stopping" : "Stop"}
    </Button>
  );
}
