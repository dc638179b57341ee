// @vitest-environment node
import { expect, it } from "vitest";
import { readAttachment } from "./attachments";
import { parseObject, skeletonOf, takesMessages } from "./json";

const file = (content: BlobPart, name: string, type: string) => new File([content], name, { type });

it("puts a text file into the message with its name", async () => {
  const { block } = await readAttachment(file("one\ntwo", "notes.md", "text/markdown"), "offline:demo");
  expect(block).toEqual({ type: "text", text: "File notes.md:\n\none\ntwo" });
});

it("puts a picture into the message where the model takes it", async () => {
  const { block } = await readAttachment(file(new Uint8Array([1, 2, 3]), "a.png", "image/png"), "openai:gpt-4o");
  expect(block).toEqual({ type: "image", mime_type: "image/png", base64: "AQID", extras: { name: "a.png" } });
});

it.each([
  [file("x", "a.png", "image/png"), "offline:demo", "a.png: The model offline:demo reads text alone."],
  [file("<svg/>", "a.svg", "image/svg+xml"), null, "a.svg: pictures are PNG, JPEG, GIF or WebP."],
  [
    file(new Uint8Array([0, 255, 254]), "a.bin", ""),
    null,
    "a.bin: only pictures and text files (UTF-8) can be attached.",
  ],
  [file("x".repeat(200_001), "a.txt", "text/plain"), null, "a.txt: a text file has at most 200 kB."],
])("refuses a file with the reason", async (given, model, reason) => {
  await expect(readAttachment(given, model)).rejects.toThrow(reason);
});

it("begins with an input of the schema", () => {
  const schema = { properties: { until: { type: "integer" }, text: { type: "string", default: "a" }, odd: {} } };
  expect(JSON.parse(skeletonOf(schema))).toEqual({ until: 0, text: "a", odd: null });
  expect(takesMessages(schema)).toBe(false);
  expect(takesMessages({ properties: { messages: {} } })).toBe(true);
  expect(takesMessages(undefined)).toBe(true);
});

it("takes an object as input and nothing else", () => {
  expect(parseObject('{"a": 1}')).toEqual({ value: { a: 1 } });
  for (const text of ["[1]", "7", "{", ""]) expect(parseObject(text)).toHaveProperty("error");
});
