"""Reads an answer of /metrics as Prometheus would."""

from __future__ import annotations

import itertools

import httpx
from prometheus_client.parser import text_string_to_metric_families


def prometheus_samples(answer: httpx.Response) -> dict[tuple[str, ...], float]:
    """Values by the sample's name and its labels' values, in the order of their names, a bucket's edge last.

    What Prometheus would refuse fails.
    """
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.text))
    assert len({family.name for family in families}) == len(families), "a family is told twice"
    samples: dict[tuple[str, ...], float] = {}
    for family in families:
        assert family.documentation, family.name
        assert family.type != "unknown", family.name
        for sample in family.samples:
            key = (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "le"))
            key += (sample.labels["le"],) if "le" in sample.labels else ()
            assert key not in samples, "a series is told twice"
            samples[key] = sample.value
    _check_histograms(samples)
    return samples


def _check_histograms(samples: dict[tuple[str, ...], float]) -> None:
    buckets = [(key, value) for key, value in samples.items() if key[0].endswith("_bucket")]
    for (name, *labels), series in itertools.groupby(buckets, key=lambda each: each[0][:-1]):
        values = [(key[-1], value) for key, value in series]
        counts = [count for _, count in values]
        assert counts == sorted(counts), f"{name} isn't cumulative"
        assert [float(edge) for edge, _ in values] == sorted(float(edge) for edge, _ in values)
        assert values[-1][0] == "+Inf"
        assert samples[name.removesuffix("_bucket") + "_count", *labels] == counts[-1]
