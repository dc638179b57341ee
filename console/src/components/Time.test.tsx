import { render, screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { formatDuration, formatRelative, Time } from "./Time";

const NOW = new Date("2026-01-01T12:00:00Z");
const ago = (seconds: number) => formatRelative(new Date(NOW.getTime() - seconds * 1000), NOW);

describe("formatRelative", () => {
  it("names the largest unit that fits", () => {
    expect([2, 30, 180, 7_200, 86_400, 5_184_000, 63_072_000].map(ago)).toEqual([
      "just now",
      "30 sec. ago",
      "3 min. ago",
      "2 hr. ago",
      "yesterday",
      "2 mo. ago",
      "2 yr. ago",
    ]);
  });

  it("looks ahead, too", () => {
    expect(ago(-7_200)).toBe("in 2 hr.");
  });
});

describe("formatDuration", () => {
  it("gives the digits that matter", () => {
    expect([0, 0.85, 4.24, 42.4, 200, 18_120].map(formatDuration)).toEqual([
      "0 ms",
      "850 ms",
      "4.2 s",
      "42 s",
      "3 min 20 s",
      "5 h 2 min",
    ]);
  });
});

describe("Time", () => {
  it("has the exact time for programs and as its title", () => {
    render(<Time at="2020-02-03T04:05:06Z" />);
    const time = screen.getByText(/yr\. ago/);
    expect(time.getAttribute("datetime")).toBe("2020-02-03T04:05:06.000Z");
    expect(time.title).toContain("2020");
  });

  it("shows a dash for no time, and the text of what is no time", () => {
    render(
      <>
        <Time at={null} />
        <Time at="<b>soon</b>" />
      </>,
    );
    expect(document.body.textContent).toBe("–<b>soon</b>");
  });
});
