import os
import threading

import pytest

from robot_lfd.urgent import urgent


def _policy():
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK


def test_it_lasts_as_long_as_the_block_and_where_it_is_refused_nothing_happens():
    with urgent() as granted:
        assert _policy() == (os.SCHED_RR if granted else os.SCHED_OTHER)
    assert _policy() == os.SCHED_OTHER


def test_without_permission_it_goes_on_as_usual(monkeypatch):
    def refuse(*args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with urgent() as granted:
        assert not granted


def test_other_threads_stay_ordinary():
    seen = []
    with urgent() as granted:
        if not granted:
            pytest.skip("the system grants no real-time priority here")
        thread = threading.Thread(target=lambda: seen.append(_policy()))
        thread.start()
        thread.join()
    assert seen == [os.SCHED_OTHER]
