"""Metrics of the server, for Prometheus.

Rules
  1. A metric is one definition in `definitions.py`: name, meaning, labels. `docs/reference/metrics.md` is generated
     from it.
  2. A label has a fixed set of values, which a test compares with the code. Nothing that a client chooses is a label:
     no id of an organization, an instance or a user. Types of agents are: a bounded number, those with most instances
     (`OpenLabelValues`).
  3. Counters and histograms outlive the process that counted. A gauge ends with its process, unless its definition says
     otherwise.
  4. A number that exists elsewhere is not counted twice: `set_function` reads it at each `refresh`, at least every
     second.
  5. A number that only the database knows is read at a scrape (`Reading`) and never kept.

To add a metric, define it, and call `inc`, `observe`, `set` or `set_function` where the event happens. The labels'
values come in the order of the definition.
"""

from __future__ import annotations

from .definitions import announce
from .instruments import Counter, Gauge, Histogram, LabelValues, Reading, every_metric, refresh
from .store import answer_scrapes

__all__ = [
    "Counter",
    "Gauge",
    "Histogram",
    "LabelValues",
    "Reading",
    "announce",
    "answer_scrapes",
    "every_metric",
    "refresh",
]
