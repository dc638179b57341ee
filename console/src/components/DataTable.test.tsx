import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { type Column, DataTable } from "./DataTable";

interface Agent {
  name: string;
  runs: number;
}

const AGENTS: Agent[] = [
  { name: "beta", runs: 2 },
  { name: "alpha", runs: 30 },
  { name: "gamma", runs: 1 },
];
const COLUMNS: Column<Agent>[] = [
  { id: "name", title: "Name", cell: (agent) => agent.name, sortBy: (agent) => agent.name },
  { id: "runs", title: "Runs", cell: (agent) => agent.runs, sortBy: (agent) => agent.runs },
  { id: "note", title: "Note", cell: () => "–" },
];

const show = (rows: Agent[], props: { onOpen?: (agent: Agent) => void; loading?: boolean } = {}) =>
  render(
    <DataTable
      label="Agents"
      rows={rows}
      columns={COLUMNS}
      rowId={(agent) => agent.name}
      empty={<p>No agents</p>}
      {...props}
    />,
  );
const bodyRows = () => screen.getAllByRole("row").slice(1);
const names = () => bodyRows().map((row) => within(row).getAllByRole("cell")[0]?.textContent);

describe("DataTable", () => {
  it("has one row in the tab order", () => {
    show(AGENTS);
    expect(bodyRows().map((row) => row.tabIndex)).toEqual([0, -1, -1]);
  });

  it("moves between rows with the arrow keys, Home and End, and stops at both ends", async () => {
    show(AGENTS);
    const user = userEvent.setup();
    bodyRows()[0]?.focus();
    for (const [key, index] of [
      ["{ArrowUp}", 0],
      ["{ArrowDown}", 1],
      ["{End}", 2],
      ["{ArrowDown}", 2],
      ["{Home}", 0],
    ] as const) {
      await user.keyboard(key);
      await waitFor(() => expect(document.activeElement).toBe(bodyRows()[index]));
    }
  });

  it("opens the row of the focus with Enter", async () => {
    const onOpen = vi.fn();
    show(AGENTS, { onOpen });
    bodyRows()[1]?.focus();
    await userEvent.keyboard("{Enter}");
    expect(onOpen.mock.calls).toEqual([[AGENTS[1]]]);
  });

  it("sorts by a column, first upwards, then downwards, then not at all", async () => {
    show(AGENTS);
    const button = screen.getByRole("button", { name: "Runs" });
    await userEvent.click(button);
    expect(names()).toEqual(["gamma", "beta", "alpha"]);
    expect(screen.getByRole("columnheader", { name: "Runs" }).getAttribute("aria-sort")).toBe("ascending");
    await userEvent.click(button);
    expect(names()).toEqual(["alpha", "beta", "gamma"]);
    await userEvent.click(button);
    expect(names()).toEqual(["beta", "alpha", "gamma"]);
  });

  it("has no button for a column that cannot be sorted", () => {
    show(AGENTS);
    expect(screen.queryByRole("button", { name: "Note" })).toBeNull();
  });

  it("says what to do when it is empty, and only after it has loaded", () => {
    const { rerender } = show([], { loading: true });
    expect(screen.getByRole("status", { name: "Loading" })).toBeTruthy();
    expect(screen.queryByText("No agents")).toBeNull();
    rerender(<DataTable label="Agents" rows={[]} columns={COLUMNS} rowId={(agent) => agent.name} empty="No agents" />);
    expect(screen.getByText("No agents")).toBeTruthy();
  });

  it("renders few of many rows, and says how many there are", () => {
    show(Array.from({ length: 10_000 }, (_, index) => ({ name: `agent ${index}`, runs: index })));
    expect(screen.getAllByRole("row").length).toBeLessThan(100);
    expect(screen.getByRole("table").getAttribute("aria-rowcount")).toBe("10001");
  });
});
