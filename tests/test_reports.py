"""reports: a storm of one fault is a few lines, and another fault is a line of its own."""

from __future__ import annotations

import logging

from fastfeed.reports import Reports, is_told


def test_each_distinct_fault_is_told_at_its_1st_10th_and_100th_time(caplog):
    reports = Reports(logging.getLogger("fastfeed.test"))
    for _ in range(250):
        reports.tell("a", "gap", "a gap of a")
    reports.tell("b", "gap", "a gap of b")
    reports.tell("a", "refusal", "a refusal of a")
    assert [record.getMessage() for record in caplog.records] == [
        "a gap of a occurrences=1",
        "a gap of a occurrences=10",
        "a gap of a occurrences=100",
        "a gap of b occurrences=1",
        "a refusal of a occurrences=1",
    ]


def test_what_is_told():
    assert [n for n in range(20_000) if is_told(n)] == [1, 10, 100, 1000, 10000]
