import { expect, it } from "vitest";
import { callsOf } from "./messages";
import { applyEvent, applyState, type Conversation, EMPTY, type StreamEvent } from "./reducer";

const RUN = "01a22c90-399b-71ad-bb5d-15f1103610ab";
const human = { type: "human", id: "h1", content: "What about rent?" };
const answer = { type: "ai", id: "a1", content: "The rent" };
const begin: StreamEvent = { event: "metadata", data: { run_id: RUN, attempt: 1 } };
const end: StreamEvent = { event: "metadata", data: { run_id: RUN, status: "run_done" } };
const values = (...messages: unknown[]): StreamEvent => ({ event: "values", data: { messages } });
const chunk = (members: Record<string, unknown>, event = "messages"): StreamEvent => ({
  event,
  data: [{ type: "AIMessageChunk", id: "a1", content: "", ...members }, { langgraph_node: "model" }],
});
const after = (events: StreamEvent[], from: Conversation = EMPTY) => events.reduce(applyEvent, from);
const textsOf = ({ messages }: Conversation) => messages.map((message) => message.content);

it("appends chunks to the message that they belong to", () => {
  const state = after([begin, values(human), chunk({ content: "The " }), chunk({ content: "rent" })]);
  expect(textsOf(state)).toEqual(["What about rent?", "The rent"]);
  expect(state.messages[1]?.live).toBe(true);
  expect(state.run).toEqual({ id: RUN, started: true });
});

it("replaces what was streamed by the state of the step", () => {
  const state = after([begin, values(human), chunk({ content: "The " }), values(human, answer)]);
  expect(state.messages).toEqual([human, answer]);
});

it("does not append a chunk to a message that the state has already", () => {
  const joined = applyState(EMPTY, { messages: [human, answer] }, [], { id: RUN, started: true });
  expect(textsOf(after([chunk({ content: "The " })], joined))).toEqual(["What about rent?", "The rent"]);
});

it("collects the arguments of a tool call from its chunks", () => {
  const call = (args: string, id: string | null, name: string | null, index = 0) =>
    chunk({ tool_call_chunks: [{ args, id, name, index }] });
  const half = after([call('{"query"', "c1", "search_law"), call(': "re', null, null)]);
  expect(callsOf(half.messages[0] as never)).toEqual([
    { id: "c1", name: "search_law", args: undefined, text: '{"query": "re' },
  ]);
  const whole = after([call('nt"}', null, null), call("{}", "c2", "cite_law", 1)], half);
  expect(callsOf(whole.messages[0] as never)).toEqual([
    { id: "c1", name: "search_law", args: { query: "rent" } },
    { id: "c2", name: "cite_law", args: {} },
  ]);
});

it("joins text blocks of the same part and keeps others apart", () => {
  const text = (words: string, index: number) => chunk({ content: [{ type: "text", text: words, index }] });
  const state = after([
    text("a", 0),
    text("b", 0),
    chunk({ content: [{ type: "image", base64: "AA==" }] }),
    text("c", 1),
  ]);
  expect(state.messages[0]?.content).toEqual([
    { type: "text", text: "ab", index: 0 },
    { type: "image", base64: "AA==" },
    { type: "text", text: "c", index: 1 },
  ]);
});

it("shows a user's message once, whether the page or the stream brings it first", () => {
  const sent = { ...EMPTY, messages: [{ ...human, live: true }] };
  expect(after([begin, values(human)], sent).messages).toEqual([human]);
});

it("begins again when a run is tried a second time", () => {
  const state = after([begin, values(human), chunk({ content: "half" }), begin]);
  expect(textsOf(state)).toEqual(["What about rent?"]);
});

it("keeps what a run that was stopped had written, and says that the thread does not have it", () => {
  const state = after([begin, values(human), chunk({ content: "half" }), end]);
  const ended = applyState(state, { messages: [human] }, [], null);
  expect(ended.messages.at(-1)).toMatchObject({ content: "half", lost: true });
  expect(textsOf(after([begin], ended))).toEqual(["What about rent?"]);
});

it("drops messages of subgraphs that the state does not keep", () => {
  const state = after([begin, values(human), chunk({ content: "inner" }, "messages|child:7"), end]);
  expect(state.messages.at(-1)?.from).toBe("child");
  expect(applyState(state, { messages: [human] }, [], null).messages).toEqual([human]);
});

it("takes whole and partial messages of other clients' streams", () => {
  const partial = (content: string) => ({ event: "messages/partial", data: [{ ...answer, content }] });
  expect(textsOf(after([partial("The"), partial("The rent")]))).toEqual(["The rent"]);
});

it("ignores the state of a subgraph", () => {
  const state = after([values(human), { event: "values|child:7", data: { messages: [answer] } }]);
  expect(state.messages).toEqual([human]);
});

it("knows the questions, the error and the end of a run", () => {
  const asks = { event: "values", data: { messages: [human], __interrupt__: [{ id: "i1", value: "sure?" }] } };
  expect(after([begin, asks]).interrupts).toEqual([{ id: "i1", value: "sure?" }]);
  const failed = after([begin, { event: "error", data: { error: "ValueError", message: "no" } }, end]);
  expect(failed).toMatchObject({ error: { error: "ValueError", message: "no" }, run: null });
  expect(after([begin], failed).error).toBeNull();
});

it("is stale when the server says that events are missing", () => {
  expect(after([begin, { event: "metadata", data: { run_id: RUN, missing_events: 3 } }]).stale).toBe(true);
});

it("shows a state without messages as values", () => {
  const state = after([{ event: "values", data: { count: 3, messages: "none" } }]);
  expect(state).toMatchObject({ messages: [], values: { count: 3, messages: "none" } });
});

it("does not change the objects of messages that did not change", () => {
  const first = after([values(human, answer)]);
  const second = after([values({ ...human }, { ...answer }, { ...answer, id: "a2" })], first);
  expect(second.messages[0]).toBe(first.messages[0]);
});
