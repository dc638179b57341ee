import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { Dialog } from "./Dialog";

const show = (open: boolean, onClose = () => {}) => (
  <Dialog title="Delete" open={open} onClose={onClose} footer={<button type="button">Yes</button>}>
    For ever?
  </Dialog>
);

describe("Dialog", () => {
  it("renders nothing while it is closed", () => {
    render(show(false));
    expect(screen.queryByText("For ever?")).toBeNull();
  });

  it("is named by its title", () => {
    render(show(true));
    expect(screen.getByRole("dialog", { name: "Delete" }).textContent).toContain("For ever?");
    expect(screen.getByRole("button", { name: "Yes" })).toBeTruthy();
  });

  it("tells when it is closed by its button, and by the browser", async () => {
    const onClose = vi.fn();
    render(show(true, onClose));
    await userEvent.click(screen.getByRole("button", { name: "Close" }));
    expect(onClose).toHaveBeenCalledTimes(1);
    screen.getByRole<HTMLDialogElement>("dialog").close();
    expect(onClose).toHaveBeenCalledTimes(2);
  });

  it("opens and closes with its property", () => {
    const { rerender } = render(show(true));
    const dialog = screen.getByRole<HTMLDialogElement>("dialog");
    rerender(show(false));
    expect(dialog.open).toBe(false);
    rerender(show(true));
    expect(dialog.open).toBe(true);
  });
});
