import { describe, expect, it } from "vitest";
import { readableText, textOfVersion } from "./readableText";

describe("readableText", () => {
  it("writes one setting a line, and lists below their key", () => {
    expect(readableText({ model: "m", servers: [{ name: "a", tools: ["x", "y"] }], none: [] })).toBe(
      ["model: m", "servers:", "  - name: a", "    tools:", "      - x", "      - y", "none: []"].join("\n"),
    );
  });

  it("keeps the lines of a text", () => {
    expect(readableText({ prompt: "one\ntwo" })).toBe("prompt:\n  one\n  two");
  });

  it("writes null, numbers and booleans as they are", () => {
    expect(readableText({ a: null, b: 1.5, c: false })).toBe("a: null\nb: 1.5\nc: false");
  });
});

describe("textOfVersion", () => {
  it("leaves out the time of the sync, and the context that repeats the configuration", () => {
    const configurable = { system_prompt: "Be brief.", temperature: 0 };
    const version = {
      assistant_id: "1",
      graph_id: "agent",
      name: "Ada",
      version: 1,
      created_at: "2026-01-01",
      config: { configurable },
      context: configurable,
      metadata: { synced_at: "2026-01-01" },
    };
    expect(textOfVersion(version)).toBe(
      "name: Ada\ndescription: null\ngraph: agent\nsystem_prompt: Be brief.\ntemperature: 0",
    );
  });
});
