"""Measure the processor time of each process. On a shared machine, costs say more than rates."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class CpuTime:
    """Seconds of processor time by process. `busy`: of the whole machine. `at`: the time of the measurement."""

    parts: dict[str, float]
    busy: float
    at: float

    @classmethod
    def measure(cls, **pids: int) -> CpuTime:
        """Measure each process with its live and its ended descendants."""
        parts = {name: sum(map(_seconds, _process_tree(pid))) for name, pid in pids.items()}
        parts["client"] = sum(os.times()[:2])
        return cls(parts, _busy(), time.monotonic())

    def describe_since(self, before: CpuTime, count: int) -> str:
        """Describe the milliseconds for each of `count` operations, and the share of the machine that others used."""
        taken = {name: seconds - before.parts[name] for name, seconds in self.parts.items()}
        each = ", ".join(f"{name} {seconds / count * 1e3:.2f}" for name, seconds in taken.items() if seconds > 0.02)
        capacity = (self.at - before.at) * (os.cpu_count() or 1)
        others = max(0.0, self.busy - before.busy - sum(taken.values())) / capacity
        return f"ms of processor time each: {each}; other processes used {others:.0%} of the machine"


def _seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICK


def _process_tree(pid: int) -> list[int]:
    try:
        children = [
            int(each)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for each in (task / "children").read_text().split()
        ]
    except OSError:
        return [pid]
    return [pid, *(each for child in children for each in _process_tree(child))]


def _busy() -> float:
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) / _TICK
