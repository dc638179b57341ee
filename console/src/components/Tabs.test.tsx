import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { describe, expect, it } from "vitest";
import { Tabs } from "./Tabs";

function Example() {
  const [value, setValue] = useState("one");
  const tabs = ["one", "two", "three"].map((id) => ({ id, title: `Tab ${id}`, content: `Content of ${id}` }));
  return <Tabs label="Parts" tabs={tabs} value={value} onChange={setValue} />;
}

const shown = () => screen.getByRole("tabpanel").textContent;

describe("Tabs", () => {
  it("shows the content of the chosen tab alone", async () => {
    render(<Example />);
    expect(shown()).toBe("Content of one");
    await userEvent.click(screen.getByRole("tab", { name: "Tab two" }));
    expect(shown()).toBe("Content of two");
    expect(screen.queryByText("Content of one")).toBeNull();
  });

  it("chooses with the arrow keys, and goes round", async () => {
    render(<Example />);
    await userEvent.tab();
    await userEvent.keyboard("{ArrowRight}");
    expect(shown()).toBe("Content of two");
    await userEvent.keyboard("{ArrowLeft}{ArrowLeft}");
    expect(shown()).toBe("Content of three");
  });
});
