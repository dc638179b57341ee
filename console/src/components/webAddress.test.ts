import { expect, it } from "vitest";
import { webAddress } from "./webAddress";

it("takes addresses of the web alone", () => {
  expect(webAddress("https://example.com/a")).toBe("https://example.com/a");
  for (const bad of ["javascript:alert(1)", "data:text/html,x", "//example.com", "vbscript:x", "", undefined, null]) {
    expect(webAddress(bad)).toBeNull();
  }
});
