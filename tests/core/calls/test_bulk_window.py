"""The window: whatever completes when, bounds hold and nothing is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.calls.bulk_window import InFlightWindow


@given(
    concurrency=st.integers(1, 5),
    ordered=st.booleans(),
    job_size=st.integers(1, 3),
    count=st.integers(0, 40),
    data=st.data(),
)
def test_any_schedule_keeps_the_bounds_and_gives_every_item_once(concurrency, ordered, job_size, count, data):
    window = InFlightWindow(concurrency, ordered=ordered, job_size=job_size)
    running, completed, taken, fed = [], [], [], 0
    while fed < count or not window.idle:
        steps = []
        if fed < count and window.has_room:
            steps.append("start")
        steps += [("finish", job) for job in running]
        steps.append("take")
        step = data.draw(st.sampled_from(steps)) if len(steps) > 1 else "take"
        if step == "start":
            items = range(fed, min(fed + job_size, count))
            fed = items.stop
            running.append(window.start(items))
        elif step == "take":
            found = window.take()
            if found is not None:
                taken.append(found)
            else:
                # Nothing to give out is never a dead end: something runs, or there is room for more.
                assert running or fed == count or window.has_room
        else:
            job = step[1]
            running.remove(job)
            items = window.items(job)
            completed.extend(items)
            window.finish(job, [item * 10 for item in items])
        assert len(running) <= concurrency
        assert fed - len(taken) <= 2 * concurrency * job_size + job_size - 1
    assert sorted(taken) == [(item, item * 10) for item in range(count)]
    assert [index for index, _ in taken] == (sorted(completed) if ordered else completed)
