"""Asking many at once: order, errors, and one that hangs."""

import threading
import time

import pytest

from gpucloud.core.errors import CapacityError, WaitTimeout
from gpucloud.flows.at_once import at_once


def test_answers_come_in_the_order_of_the_items():
    def work(number):
        time.sleep(0.02 * (3 - number))
        return number * 10

    assert [answer.get() for answer in at_once(work, [0, 1, 2], 5)] == [0, 10, 20]
    assert at_once(work, [], 5) == []


def test_an_error_stays_with_its_item():
    def work(number):
        if number == 1:
            raise CapacityError("none")
        return number

    first, second = at_once(work, [0, 1], 5)
    assert first.get() == 0
    with pytest.raises(CapacityError):
        second.get()


def test_one_that_hangs_holds_up_nobody():
    release = threading.Event()
    begun = time.monotonic()
    slow, quick = at_once(lambda wait: release.wait(30) if wait else "here", [True, False], 0.2)
    release.set()
    assert time.monotonic() - begun < 5
    assert isinstance(slow.error, WaitTimeout) and quick.get() == "here"


def test_no_more_threads_than_allowed():
    now, most, lock = 0, 0, threading.Lock()

    def work(number):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return number

    assert [a.get() for a in at_once(work, list(range(12)), 10, at_most=3)] == list(range(12))
    assert most <= 3
