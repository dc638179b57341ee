/** An event of a stream of Server-Sent Events (WHATWG HTML, section 9.2). `id`: the last one that was sent. */
export interface ServerSentEvent {
  event: string;
  data: string;
  id: string | null;
}

/** Read events. `fetch` is used in the place of EventSource, which cannot send credentials in headers. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.feed(decoder.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** Splits text into events. A line ends with CR LF, LF or CR, also where a chunk ends between the two. */
export class EventParser {
  private rest = "";
  private event = "";
  private data: string[] = [];
  private id: string | null = null;

  *feed(text: string): Generator<ServerSentEvent> {
    this.rest += text;
    // A CR at the end may be the first half of a line end.
    const lines = this.rest.split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    for (const line of lines) {
      const found = this.line(line);
      if (found) yield found;
    }
  }

  private line(line: string): ServerSentEvent | null {
    if (line === "") return this.dispatch();
    const [, field = "", value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === "event") this.event = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id" && !value.includes("\0")) this.id = value;
    return null;
  }

  private dispatch(): ServerSentEvent | null {
    const [event, data] = [this.event, this.data];
    this.event = "";
    this.data = [];
    return data.length ? { event: event || "message", data: data.join("\n"), id: this.id } : null;
  }
}
