import { expect, it } from "vitest";
import { paragraphsOf } from "./paragraphs";

const LONG = `${"word ".repeat(700)}\n\n`;

it("leaves a short text as it is", () => {
  expect(paragraphsOf("a\n\nb")).toEqual(["a\n\nb"]);
});

it("cuts before plain paragraphs, and loses nothing", () => {
  const text = `${LONG}Second.\n\nThird`;
  expect(paragraphsOf(text).map((part) => part.trim().slice(0, 6))).toEqual(["word w", "Second", "Third"]);
  expect(paragraphsOf(text).join("\n")).toBe(text);
});

it("never cuts inside a fenced block or a list", () => {
  expect(paragraphsOf(`${LONG}\`\`\`py\na\n\nb\n\`\`\``)).toHaveLength(2);
  expect(paragraphsOf(`${LONG}Items:\n\n- a\n\n- b`)).toHaveLength(2);
});
