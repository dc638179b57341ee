import { describe, expect, it } from "vitest";
import { sorted } from "./DoctorPanel";
import { isWell, wordsOf } from "./readiness";

describe("a part of the readiness report", () => {
  it.each([
    [{ ok: true }, true, "works"],
    [{ ok: false }, false, "does not answer"],
    [{ scope: "all", feed: true, total: 5, failed: 0 }, true, "scope all, feed yes, total 5, failed 0"],
    [{ scope: "all", failed: 2 }, false, "scope all, failed 2"],
    [{ feed: false, failure: "no table" }, false, "feed no, failure no table"],
    [{ ok: true, lag: null, of: { a: 1 } }, true, 'lag none, of {"a":1}'],
  ])("%j: well %s, %s", (part, well, words) => {
    expect([isWell(part), wordsOf(part)]).toEqual([well, words]);
  });
});

it("has checks that failed first, and keeps the order of the others", () => {
  const check = (name: string, passed: boolean) => ({ name, passed, text: "" });
  const checks = [check("a", true), check("b", false), check("c", true), check("d", false)];
  expect(sorted(checks).map(({ name }) => name)).toEqual(["b", "d", "a", "c"]);
});
