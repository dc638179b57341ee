import { describe, expect, it } from "vitest";
import { EventParser, readEvents } from "./sse";

const parse = (...chunks: string[]) => {
  const parser = new EventParser();
  return chunks.flatMap((chunk) => [...parser.feed(chunk)]);
};

describe("a stream of Server-Sent Events", () => {
  it("has an event for each block, with the id that was sent last", () => {
    expect(parse('event: watching\r\ndata: {"position":3}\r\nid: 3\r\n\r\ndata: x\n\n')).toEqual([
      { event: "watching", data: '{"position":3}', id: "3" },
      { event: "message", data: "x", id: "3" },
    ]);
  });

  it("may be cut anywhere, also within a line end", () => {
    const whole = "event: instance\r\ndata: one\r\ndata: two\r\nid: 7\r\n\r\n: heartbeat\r\n\r\ndata: three\r\n\r\n";
    const expected = parse(whole);
    expect(expected.map(({ data }) => data)).toEqual(["one\ntwo", "three"]);
    for (let at = 0; at <= whole.length; at += 1) expect(parse(whole.slice(0, at), whole.slice(at))).toEqual(expected);
    expect(parse(...whole)).toEqual(expected);
  });

  it("has no event for comments, and none for a block without data", () => {
    expect(parse(": heartbeat\n\n", "event: lonely\n\n")).toEqual([]);
  });

  it("is read from bytes that cut a character", async () => {
    const bytes = new TextEncoder().encode("data: größe\n\n");
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
        controller.close();
      },
    });
    const found = [];
    for await (const event of readEvents(stream)) found.push(event.data);
    expect(found).toEqual(["größe"]);
  });
});
