"""What a scraper and a balancer see of pgweir: its three pages over HTTP."""

import http.client
import re
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from cluster import free_port

MANUAL = Path(__file__).parent.parent / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(p\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)


def with_http(over=None):
    """A configuration laid over another, which listens for HTTP as well."""
    return {"http": {"addresses": ["127.0.0.1"], "port": free_port()}, **(over or {})}


class Answer(NamedTuple):
    status: int
    body: str
    headers: dict


def http_address(weir):
    return ("127.0.0.1", weir.config["http"]["port"])


def ask(weir, path, method="GET", timeout=30):
    connection = http.client.HTTPConnection(*http_address(weir), timeout=timeout)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode("utf-8"), dict(answer.getheaders()))
    finally:
        connection.close()


def documented():
    """{metric: (type, labels)} as docs/metrics.md has them."""
    return {name: (kind, set(re.findall(r"`(\w+)`", labels)))
            for name, kind, labels in ROW.findall(MANUAL.read_text(encoding="utf-8"))}


class Page:
    """/metrics, once. Names of metrics are those in the text."""

    def __init__(self, text):
        self.text = text
        self.families = list(text_string_to_metric_families(text))
        self.samples = [s for family in self.families for s in family.samples]

    def all(self, name, **labels):
        """{labels that were not asked for: value} of a metric."""
        return {tuple(sorted((k, v) for k, v in s.labels.items() if k not in labels)): s.value
                for s in self.samples
                if s.name == name and labels.items() <= s.labels.items()}

    def by(self, label, name, **labels):
        """{value of one label: value} of a metric, where nothing else tells samples apart."""
        found = self.all(name, **labels)
        out = {dict(rest)[label]: value for rest, value in found.items()}
        assert len(out) == len(found), found
        return out

    def total(self, name, **labels):
        """The sum of its samples; None: there is none."""
        found = self.all(name, **labels)
        return sum(found.values()) if found else None


def scrape(weir):
    answer = ask(weir, "/metrics")
    assert answer.status == 200, answer
    return Page(answer.body)
