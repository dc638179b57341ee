import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import { JsonButton, JsonView } from "./JsonView";

const shown = () => screen.getByRole("region", { name: "JSON" }).textContent;

describe("JsonView", () => {
  it("shows each value as JSON, with nothing lost by the colours", () => {
    const value = { text: 'a "quoted" \\ word: {}', numbers: [1, -2.5, 1e30], no: null, yes: true, "key: 2": "3" };
    render(<JsonView value={value} />);
    expect(shown()).toBe(JSON.stringify(value, null, 2));
  });

  it("shows markup as text", () => {
    render(<JsonView value={{ "<img src=x onerror=alert(1)>": "<script>alert(1)</script>" }} />);
    expect(document.querySelector("img, script")).toBeNull();
    expect(shown()).toContain("<script>alert(1)</script>");
  });

  it("shows nothing as null", () => {
    render(<JsonView value={undefined} />);
    expect(shown()).toBe("null");
  });

  it("shows huge values, without colours", () => {
    render(<JsonView value={"x".repeat(300_000)} />);
    expect(shown()?.length).toBe(300_002);
    expect(document.querySelectorAll("pre span").length).toBe(0);
  });
});

describe("JsonButton", () => {
  it("opens the JSON in a dialog", async () => {
    render(<JsonButton value={[1]} title="Numbers" />);
    expect(screen.queryByRole("dialog")).toBeNull();
    await userEvent.click(screen.getByRole("button", { name: "JSON" }));
    expect(screen.getByRole("dialog", { name: "Numbers" })).toBeTruthy();
    expect(shown()).toBe("[\n  1\n]");
  });
});
