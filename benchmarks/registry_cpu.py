"""How much processor time a measurement took, and whose: on a machine that others use, rates say less than costs."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cpu:
    """Seconds of processor time, by part; `busy`: of the whole machine; `at`: when."""

    parts: dict[str, float]
    busy: float
    at: float

    @classmethod
    def of(cls, **pids: int) -> Cpu:
        """Each with its descendants that live, and those that it has buried."""
        parts = {name: sum(map(_seconds, _family(pid))) for name, pid in pids.items()}
        parts["client"] = sum(os.times()[:2])
        return cls(parts, _busy(), time.monotonic())

    def since(self, before: Cpu, count: int) -> str:
        """Milliseconds for each of `count`, and what share of the machine others had meanwhile."""
        taken = {name: seconds - before.parts[name] for name, seconds in self.parts.items()}
        each = ", ".join(f"{name} {seconds / count * 1e3:.2f}" for name, seconds in taken.items() if seconds > 0.02)
        capacity = (self.at - before.at) * (os.cpu_count() or 1)
        others = max(0.0, self.busy - before.busy - sum(taken.values())) / capacity
        return f"ms of processor time each: {each}; others had {others:.0%} of the machine"


def _seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICK


def _family(pid: int) -> list[int]:
    try:
        children = [
            int(each)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for each in (task / "children").read_text().split()
        ]
    except OSError:
        return [pid]
    return [pid, *(each for child in children for each in _family(child))]


def _busy() -> float:
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) / _TICK
