import { expect, it } from "vitest";
import { fieldsOf } from "./schemaFields";

it("reads names, types, defaults and what is required", () => {
  const schema = {
    $ref: "#/$defs/State",
    $defs: {
      State: {
        required: ["messages"],
        properties: {
          messages: { type: "array", items: { $ref: "#/$defs/Message" }, description: "So far" },
          limit: { anyOf: [{ type: "integer" }, { type: "null" }], default: null },
          mode: { enum: ["a", "b"] },
        },
      },
    },
  };
  expect(fieldsOf(schema)).toEqual([
    { name: "messages", type: "Message[]", isRequired: true, initial: "", about: "So far" },
    { name: "limit", type: "(integer | null)", isRequired: false, initial: "null", about: "" },
    { name: "mode", type: '("a" | "b")', isRequired: false, initial: "", about: "" },
  ]);
});

it("has no fields for what is not an object", () => {
  expect(fieldsOf(null)).toEqual([]);
  expect(fieldsOf({ type: "string" })).toEqual([]);
  expect(fieldsOf({ $ref: "#/$defs/Nowhere" })).toEqual([]);
});
