import { expect, test, vi } from "vitest";
import { ThreadSession } from "./session";

const QUESTION = { type: "human", id: "1", content: "Who are you?" };
const ANSWER = { type: "ai", id: "2", content: "Nobody" };

const server = vi.hoisted(() => ({ hasEnded: false }));

vi.mock("../../../api/langgraph", () => ({
  langgraph: {
    threads: {
      get: async () => ({ thread_id: "t", status: server.hasEnded ? "idle" : "busy" }),
      getState: async () => ({
        values: { messages: server.hasEnded ? [QUESTION, ANSWER] : [QUESTION] },
        next: [],
        tasks: [],
      }),
      async *joinStream() {
        yield* [];
        await new Promise(() => undefined);
      },
    },
    runs: {
      list: async () => {
        await new Promise((resolve) => setTimeout(resolve));
        server.hasEnded = true;
        return [{ run_id: "r", status: "success" }];
      },
    },
  },
}));

test("a run that ends while the thread is read leaves its answer", async () => {
  const session = new ThreadSession("t");
  session.open();
  await vi.waitFor(() => expect(session.getSnapshot().connection).toBe("open"));
  expect(session.getSnapshot().conversation.messages.map((each) => each.id)).toEqual(["1", "2"]);
  session.close();
});
