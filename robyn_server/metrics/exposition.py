"""Responses to scrapes: text for Prometheus, or single values.

Collecting takes milliseconds, so it must not run on the event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .instruments import Metric as Definition
from .instruments import Reading
from .store import whole_registry

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

Readings: TypeAlias = Mapping[Reading, Mapping[tuple[str, ...], float]]
"""Values that were read for this scrape, by the labels' values."""


class Text(NamedTuple):
    body: bytes
    media_type: str


def as_text(accept: str, readings: Readings) -> Text:
    """Render the text format 0.0.4, or a later one or OpenMetrics if the header `accept` asks for it."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry()
    registry.register(_ReadingsAndCounts(list(_families(readings))))
    encode, media_type = choose_encoder(accept)
    return Text(encode(registry), media_type)


def samples(definition: Definition) -> dict[tuple[str, ...], float]:
    """Return a counter's or gauge's values over all processes, by the labels' values.

    A metric without values gives an empty dict.
    """
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
        for labels, value in values.items():
            family.add_metric(list(labels), value)
        yield family


class _ReadingsAndCounts:
    def __init__(self, readings: list[Metric]) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        yield from self._readings
        yield from whole_registry().collect()
