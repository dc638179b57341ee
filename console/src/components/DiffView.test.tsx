import { render, screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { DiffView } from "./DiffView";

const rows = () => screen.getAllByRole("row").map((row) => row.textContent);

describe("DiffView", () => {
  it("says so when nothing differs", () => {
    render(<DiffView before={{ a: 1 }} after={{ a: 1 }} />);
    expect(screen.getByText("Nothing differs.")).toBeTruthy();
  });

  it("shows what was removed and added, in words too", () => {
    render(<DiffView before={"one\ntwo"} after={"one\nthree"} />);
    expect(rows()).toEqual(["11 one", "2−removed: two", "2+added: three"]);
  });

  it("leaves out lines far from a change", () => {
    const lines = Array.from({ length: 40 }, (_, index) => `line ${index}`);
    render(<DiffView before={lines.join("\n")} after={lines.with(20, "changed").join("\n")} />);
    expect(rows().length).toBe(1 + 3 + 2 + 3 + 1);
    expect(rows()[0]).toBe("⋯");
    expect(rows().at(-1)).toBe("⋯");
  });

  it("compares values as JSON", () => {
    render(<DiffView before={{ model: "a" }} after={{ model: "b" }} />);
    expect(rows()).toContain('2−removed:   "model": "a"');
  });

  it("shows markup as text", () => {
    render(<DiffView before="" after="<img src=x onerror=alert(1)>" />);
    expect(document.querySelector("img")).toBeNull();
    expect(rows()[0]).toContain("<img src=x onerror=alert(1)>");
  });
});
