"""What all maps have in common: settings, order, and whose error it is."""

from __future__ import annotations

import pytest

from nupic_client._core.calls import flows
from nupic_client._core.calls.bulk import NOTHING, BulkPipeline, Job, MapSettings
from nupic_client.errors import ConfigurationError, RequestError


class Plain(BulkPipeline):
    def feed(self, inputs):
        self._count += 1
        return [Job(self._window.start((self._count - 1,)), iter(()))]


def run(**settings):
    """Return a pipeline with three jobs, which ended in the order 2, 0, 1; the last one with an error."""
    pipeline = Plain(MapSettings(concurrency=3, **settings))
    jobs = [job for n in range(3) for job in pipeline.feed(n)]
    assert not pipeline.wants_input
    found = [
        each
        for n in (2, 0, 1)
        for each in pipeline.finish(jobs[n], "abc"[n] if n != 1 else RequestError("no"))
    ]
    assert pipeline.end() == []
    return pipeline, found


def taken(pipeline):
    found = []
    while (each := pipeline.take()) is not NOTHING:
        found.append(each)
    return found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"concurrency": 0}, "concurrency must be a whole number above 0, not 0"),
        ({"concurrency": 1.5}, "concurrency must be a whole number above 0, not 1.5"),
        ({"errors": "skip"}, "errors must be 'raise' or 'return', not 'skip'"),
    ],
)
def test_settings_are_checked(settings, words):
    with pytest.raises(ConfigurationError, match=words):
        MapSettings(**settings)


def test_results_come_in_order_with_errors_in_their_place():
    pipeline, found = run(errors="return")
    assert [index for index, _ in found] == [2, 0, 1]
    first, second, third = taken(pipeline)
    assert (first, third, str(second)) == ("a", "c", "item 1: no")
    assert pipeline.finished


def test_results_come_as_they_complete():
    pipeline, _ = run(errors="return", ordered=False)
    assert pipeline.has_results
    assert [index for index, _ in taken(pipeline)] == [2, 0, 1]


def test_an_error_is_raised_and_the_callback_does_not_get_it():
    pipeline, found = run()
    assert [index for index, _ in found] == [2, 0]
    assert pipeline.take() == "a"
    with pytest.raises(RequestError, match="item 1: no"):
        pipeline.take()


def test_jobs_wait_for_calls_and_have_their_turn_unless_told_otherwise():
    pipeline, _ = run()
    assert pipeline.awaits is flows.Invoke
    assert pipeline.has_turn
    assert not pipeline.waiting
