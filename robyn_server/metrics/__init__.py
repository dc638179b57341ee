"""What is counted and measured, for Prometheus.

Rules
  1. A metric is one definition in `definitions.py`: name, meaning, labels. `docs/metrics.md` is generated from there.
  2. A label's value is one of the words of its vocabulary; any other is an error. No client's word, no tenant's, instance's or
     user's name becomes a label. Of types of agents those with most instances do, a bounded number (`Chosen`).
  3. Counters and histograms outlive the process that counted; a gauge goes with it, unless its definition says otherwise.
  4. What is known already is not counted twice: a gauge `follow`s it and is set when somebody looks, and every second.
  5. What only the database knows is asked for at a scrape (`Reading`), never kept.

To add one: define it, and where the thing happens call `inc`, `observe`, `set` or `follow` with the labels' values in the order
of the definition.
"""

from __future__ import annotations

from .definitions import announce
from .instruments import Counter, Gauge, Histogram, Reading, UnknownWord, Words, every_metric, refresh
from .store import answer_scrapes

__all__ = [
    "Counter",
    "Gauge",
    "Histogram",
    "Reading",
    "UnknownWord",
    "Words",
    "announce",
    "answer_scrapes",
    "every_metric",
    "refresh",
]
