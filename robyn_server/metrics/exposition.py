"""What a scrape is answered: text for Prometheus, or the numbers one by one. Both collect, which takes milliseconds: not for the loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .instruments import Metric as Definition
from .instruments import Reading
from .store import whole_registry

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

Readings: TypeAlias = Mapping[Reading, Mapping[tuple[str, ...], float]]
"""What was read for this scrape, by the labels' values."""


class Text(NamedTuple):
    body: bytes
    media_type: str


def as_text(accept: str, readings: Readings) -> Text:
    """The text format 0.0.4, or a later one or OpenMetrics where the header `accept` asks for it. Raises UnknownWord."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry()
    registry.register(_Both(list(_families(readings))))
    encode, media_type = choose_encoder(accept)
    return Text(encode(registry), media_type)


def samples(definition: Definition) -> dict[tuple[str, ...], float]:
    """A counter's or gauge's values over all processes, by the labels' values. Raises for no unknown metric: it is just empty."""
    wanted = definition.name if definition.kind == "gauge" else f"{definition.name}_total"
    return {
        tuple(sample.labels[label] for label in definition.labels): sample.value
        for family in whole_registry().collect()
        for sample in family.samples
        if sample.name == wanted
    }


def _families(readings: Readings) -> Iterable[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    for reading, values in readings.items():
        family = GaugeMetricFamily(reading.name, reading.meaning, labels=list(reading.labels))
        for words, value in values.items():
            reading.check(words)
            family.add_metric(list(words), value)
        yield family


class _Both:
    def __init__(self, readings: list[Metric]) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        yield from self._readings
        yield from whole_registry().collect()
