import { expect, it } from "vitest";
import { linkOf, mediaOf, textOf } from "./content";

const PNG = "iVBORw0KGgo=";

it("reads the text of a content and leaves out what is none", () => {
  expect(textOf("plain")).toBe("plain");
  expect(textOf([{ type: "text", text: "a" }, { type: "image", base64: PNG }, "b"])).toBe("ab");
  expect(textOf(null)).toBe("");
});

it.each([
  { type: "image", base64: PNG, mime_type: "image/png" },
  { type: "image", source: { type: "base64", media_type: "image/png", data: PNG } },
  { type: "image_url", image_url: { url: `data:image/png;base64,${PNG}` } },
  { type: "image_url", image_url: `data:image/png;base64,${PNG}` },
])("finds the picture in a block of any provider", (block) => {
  expect(mediaOf(block)).toMatchObject({ kind: "picture", mimeType: "image/png", base64: PNG });
});

it("saves what is no picture as a file, also SVG, which can hold scripts", () => {
  expect(mediaOf({ type: "image", base64: "PHN2Zy8+", mime_type: "image/svg+xml" })?.kind).toBe("file");
  expect(
    mediaOf({ type: "file", base64: "AA==", mime_type: "application/pdf", extras: { name: "a.pdf" } }),
  ).toMatchObject({
    kind: "file",
    name: "a.pdf",
  });
});

it("takes no data that is not base64", () => {
  expect(mediaOf({ type: "image", base64: '"><script>', mime_type: "image/png" })).toBeNull();
});

it("links to the web alone", () => {
  expect(linkOf({ type: "resource_link", uri: "https://example.com/x" })).toBe("https://example.com/x");
  expect(linkOf({ type: "image_url", image_url: { url: "javascript:alert(1)" } })).toBeNull();
});
