"""The kinds of metrics. prometheus-client is imported with the first value, so that neither commands nor the supervisor
pay for it."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Literal

from .store import own_registry

PREFIX = "agenthall_"
_MAX_INITIALIZED = 16

_metrics: list[Metric] = []
_functions: dict[tuple[Gauge, tuple[str, ...]], Callable[[], float]] = {}


class LabelValues:
    """The values that a label may have.

    More can be added, if this program chooses them: the paths of its routes, for example.
    """

    def __init__(self, values: Iterable[object]) -> None:
        self._values = dict.fromkeys(map(str, values))

    def add(self, values: Iterable[object]) -> None:
        self._values.update(dict.fromkeys(map(str, values)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class OpenLabelValues(LabelValues):
    """Values that users choose and the database validates; `form` describes them.

    Only for a Reading, which keeps no values.
    """

    def __init__(self, form: str, *values: str) -> None:
        super().__init__((f"‹{form}›", *values))


class Metric:
    """`labels`: the values of each label, by its name. A value is recorded with one for each, in their order."""

    kind: ClassVar[str]

    def __init__(self, name: str, meaning: str, **labels: LabelValues) -> None:
        self.name: str = PREFIX + name
        self.meaning = meaning
        self.labels = labels
        _metrics.append(self)


class Instrument(Metric):
    """A metric whose values this process keeps, in the object of prometheus-client that has the same class name."""

    def __init__(self, name: str, meaning: str, labels: dict[str, LabelValues], **options: Any) -> None:
        super().__init__(name, meaning, **labels)
        self._options = options
        self._children: dict[tuple[str, ...], Any] = {}

    def initialize(self) -> None:
        """Export 0 for every combination of labels, if these are few: an alert does not see a first increase from
        nothing."""
        if math.prod(len(values) for values in self.labels.values()) <= _MAX_INITIALIZED:
            for values in itertools.product(*self.labels.values()):
                self._child(values)

    def _child(self, values: tuple[str, ...]) -> Any:
        """Return prometheus-client's object for these values of the labels."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._metric.labels(*values) if values else self._metric
        return child

    @functools.cached_property
    def _metric(self) -> Any:
        registry = own_registry()  # before prometheus-client makes a metric
        import prometheus_client

        create = getattr(prometheus_client, type(self).__name__)
        return create(self.name, self.meaning, tuple(self.labels), registry=registry, **self._options)


class Counter(Instrument):
    """A number that only rises. Exported as `<name>_total`."""

    kind = "counter"

    def __init__(self, name: str, meaning: str, **labels: LabelValues) -> None:
        super().__init__(name, meaning, labels)

    def inc(self, *values: str, by: float = 1) -> None:
        self._child(values).inc(by)


class Gauge(Instrument):
    """A number that rises and falls.

    `across`: how the values of the server's processes are combined. `outlives`: the value of a dead process still
    counts.
    """

    kind = "gauge"

    def __init__(
        self,
        name: str,
        meaning: str,
        *,
        across: Literal["sum", "min", "max"],
        outlives: bool = False,
        **labels: LabelValues,
    ) -> None:
        super().__init__(name, meaning, labels, multiprocess_mode=across if outlives else f"live{across}")

    def set(self, value: float, *values: str) -> None:
        self._child(values).set(value)

    def set_function(self, read: Callable[[], float], *values: str) -> None:
        """Set the gauge to the result of `read` at each `refresh`."""
        _functions[self, values] = read

    def own_value(self, *values: str) -> float:
        """The value of this process, as its function returns it now; 0 without a function."""
        read = _functions.get((self, values))
        return 0.0 if read is None else read()


class Histogram(Instrument):
    """Counts of observations; `buckets` are upper bounds."""

    kind = "histogram"

    def __init__(self, name: str, meaning: str, *, buckets: tuple[float, ...], **labels: LabelValues) -> None:
        super().__init__(name, meaning, labels, buckets=buckets)

    def observe(self, value: float, *values: str) -> None:
        self._child(values).observe(value)


class Reading(Metric):
    """A gauge that is read from the database, which all replicas share, at each scrape."""

    kind = "gauge"


def every_metric() -> tuple[Metric, ...]:
    return tuple(_metrics)


async def refresh() -> None:
    """Set each gauge that has a function to the function's result."""
    for (gauge, values), read in list(_functions.items()):
        gauge.set(read(), *values)
