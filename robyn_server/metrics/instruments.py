"""The kinds of metrics. prometheus-client is imported when the first number is given, which no command line and no supervisor does."""

from __future__ import annotations

import abc
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from .store import own_registry

PREFIX = "agenthall_"
_FEW = 16

_metrics: list[Metric] = []
_followed: dict[tuple[Gauge, tuple[str, ...]], Callable[[], float]] = {}


class UnknownWord(ValueError):
    """A label was given a value that is not in its vocabulary."""


class Words:
    """A label's vocabulary. It may grow, by words of this program only: the paths of its routes, say."""

    def __init__(self, words: Iterable[object]) -> None:
        self._words: dict[str, None] = dict.fromkeys(map(str, words))

    def add(self, words: Iterable[object]) -> None:
        self._words.update(dict.fromkeys(map(str, words)))

    def __contains__(self, word: object) -> bool:
        return word in self._words

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __len__(self) -> int:
        return len(self._words)


class Chosen(Words):
    """Words that others choose and the database has checked; `form` says which. Only for a Reading, whose values are as many as somebody
    reads at one scrape: nothing is kept of them here."""

    def __init__(self, form: str, *words: str) -> None:
        super().__init__((f"‹{form}›", *words))

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and word != ""


class Metric:
    """`labels` are vocabularies by name. Values are given in their order; UnknownWord for one that is not in its vocabulary."""

    kind = ""

    def __init__(self, name: str, meaning: str, **labels: Words) -> None:
        self.name: str = PREFIX + name
        if any(each.name == self.name for each in _metrics):
            raise ValueError(f"two metrics are called {self.name}")
        self.meaning = meaning
        self.labels = labels
        _metrics.append(self)

    def check(self, values: tuple[str, ...]) -> None:
        """Raises UnknownWord."""
        if len(values) != len(self.labels):
            raise UnknownWord(f"{self.name} has the labels {', '.join(self.labels) or 'none'}; given: {values}")
        for (label, words), value in zip(self.labels.items(), values, strict=True):
            if value not in words:
                raise UnknownWord(f"{self.name}: {value!r} is no word of the label {label}")


class Kept(Metric, abc.ABC):
    """One whose values this process keeps, in an object of prometheus-client's."""

    def __init__(self, name: str, meaning: str, **labels: Words) -> None:
        super().__init__(name, meaning, **labels)
        self._children: dict[tuple[str, ...], Any] = {}

    def begin(self) -> None:
        """Exports 0 for every label, where these are few: an alert does not see the first increase from nothing."""
        if math.prod(len(words) for words in self.labels.values()) <= _FEW:
            for values in itertools.product(*self.labels.values()):
                self._at(values)

    def _at(self, values: tuple[str, ...]) -> Any:
        """prometheus-client's own object for these labels. Vocabularies are looked at once for each."""
        child = self._children.get(values)
        if child is None:
            self.check(values)
            child = self._children[values] = self._made.labels(*values) if values else self._made
        return child

    @functools.cached_property
    def _made(self) -> Any:
        registry = own_registry()
        return self._make(name=self.name, documentation=self.meaning, labelnames=tuple(self.labels), registry=registry)

    @abc.abstractmethod
    def _make(self, **given: Any) -> Any:
        """prometheus-client's own metric."""


class Counter(Kept):
    """Only rises. Exported as `<name>_total`."""

    kind = "counter"

    def _make(self, **given: Any) -> Any:
        from prometheus_client import Counter as Made

        return Made(**given)

    def inc(self, *values: str, by: float = 1) -> None:
        self._at(values).inc(by)


class Gauge(Kept):
    """Goes up and down. `across`: what the server's processes come to. `outlives`: the value of a dead process counts on."""

    kind = "gauge"

    def __init__(
        self, name: str, meaning: str, *, across: Literal["sum", "min", "max"], outlives: bool = False, **labels: Words
    ) -> None:
        super().__init__(name, meaning, **labels)
        self.across = across
        self._mode: Any = across if outlives else f"live{across}"

    def _make(self, **given: Any) -> Any:
        from prometheus_client import Gauge as Made

        return Made(multiprocess_mode=self._mode, **given)

    def set(self, value: float, *values: str) -> None:
        self._at(values).set(value)

    def follow(self, read: Callable[[], float], *values: str) -> None:
        """From now on it is what `read` returns, as of the last `refresh`. Raises UnknownWord."""
        self.check(values)
        _followed[self, values] = read


class Histogram(Kept):
    """How often, and how much: `buckets` are upper bounds."""

    kind = "histogram"

    def __init__(self, name: str, meaning: str, *, buckets: tuple[float, ...], **labels: Words) -> None:
        super().__init__(name, meaning, **labels)
        self._buckets = buckets

    def _make(self, **given: Any) -> Any:
        from prometheus_client import Histogram as Made

        return Made(buckets=self._buckets, **given)

    def observe(self, value: float, *values: str) -> None:
        self._at(values).observe(value)


class Reading(Metric):
    """A gauge that is read anew for each scrape, from what all replicas share; whoever answers the scrape gives its values."""

    kind = "gauge"


def every_metric() -> tuple[Metric, ...]:
    return tuple(_metrics)


async def refresh() -> None:
    """Sets each gauge to what it follows."""
    for (gauge, values), read in list(_followed.items()):
        gauge.set(read(), *values)
