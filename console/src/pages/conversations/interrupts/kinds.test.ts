import { expect, it } from "vitest";
import { decide, fill, questionOf, resumeWith } from "./kinds";

const request = { name: "search_law", args: { query: "rent" }, description: "Look it up" };

it("recognizes the review of tool calls, with the decisions that are allowed", () => {
  const value = {
    action_requests: [request],
    review_configs: [{ action_name: "search_law", allowed_decisions: ["approve", "reject"] }],
  };
  expect(questionOf({ id: "i", value })).toEqual({
    kind: "review",
    actions: [{ ...request, allowed: ["approve", "reject"] }],
  });
});

it("recognizes the agent inbox", () => {
  const value = [
    { action_request: { action: "send", args: { to: "a" } }, config: { allow_accept: true, allow_respond: true } },
  ];
  expect(questionOf({ id: "i", value })).toMatchObject({
    kind: "inbox",
    action: { name: "send", allowed: ["accept", "response"] },
  });
});

it("recognizes a schema of the answer", () => {
  const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  expect(questionOf({ id: "i", value: "Where?", response_schema: schema })).toMatchObject({ kind: "schema" });
  expect(questionOf({ id: "i", value: { question: "Where?", schema } })).toMatchObject({ kind: "schema" });
});

it("lets everything else be answered freely", () => {
  for (const value of ["Sure?", 7, null, { question: "Sure?" }, [1]]) {
    expect(questionOf({ id: "i", value })).toEqual({ kind: "free", about: value });
  }
});

it("recognizes servers to connect to, and links to the web alone", () => {
  const connections = [
    { server: "server-1", url: "https://a.example/mcp", authorization_url: "https://login.example/authorize?x=1" },
    { server: "server-2", url: "https://b.example/mcp", authorization_url: "javascript:alert(1)" },
    null,
  ];
  expect(questionOf({ id: "i", value: { kind: "mcp_connection_required", connections } })).toEqual({
    kind: "connect",
    servers: [
      { url: "https://a.example/mcp", address: "https://login.example/authorize?x=1" },
      { url: "https://b.example/mcp", address: null },
      { url: "", address: null },
    ],
  });
});

it("writes decisions as the middleware reads them", () => {
  const action = { ...request, allowed: [] };
  expect(decide("review", action, { type: "approve", text: "" })).toEqual({ value: { type: "approve" } });
  expect(decide("review", action, { type: "reject", text: "no" })).toEqual({
    value: { type: "reject", message: "no" },
  });
  expect(decide("review", action, { type: "edit", text: '{"query": "buy"}' })).toEqual({
    value: { type: "edit", edited_action: { name: "search_law", args: { query: "buy" } } },
  });
  expect(decide("review", action, { type: "edit", text: "{" })).toHaveProperty("error");
  expect(decide("inbox", action, { type: "response", text: "hi" })).toEqual({
    value: { type: "response", args: "hi" },
  });
});

it("fills a schema from fields, and names the field that is wrong", () => {
  const schema = {
    properties: {
      city: { type: "string" },
      nights: { type: "integer", title: "Nights" },
      smoking: { type: "boolean" },
      room: { enum: ["single", "double"] },
      tags: { type: "array" },
    },
    required: ["city", "nights"],
  };
  expect(fill(schema, { city: "Bonn", nights: "2", smoking: "false", room: "double", tags: "[1]" })).toEqual({
    value: { city: "Bonn", nights: 2, smoking: false, room: "double", tags: [1] },
  });
  expect(fill(schema, { city: "Bonn" })).toEqual({ error: "Nights is required." });
  expect(fill(schema, { city: "Bonn", nights: "1.5" })).toEqual({ error: "Nights: this must be an integer." });
});

it("answers several interrupts by their ids", () => {
  expect(resumeWith([{ id: "a" }, { id: "b" }], [true, "x"])).toEqual({ resume: { a: true, b: "x" } });
  expect(resumeWith([{ value: "?" }], [1])).toEqual({ resume: 1 });
});
