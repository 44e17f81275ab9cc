"""Many questions at once: answers in order, all of them ended before an error is raised."""

import threading

import pytest

from gpucloud.core.errors import CloudError
from gpucloud.providers.in_parallel import in_parallel, outcomes


def test_they_run_at_once_and_answer_in_order():
    met = threading.Barrier(3, timeout=60)  # nobody passes alone
    assert in_parallel([lambda n=n: (met.wait(), n)[1] for n in range(3)]) == [0, 1, 2]
    assert in_parallel([]) == outcomes([]) == []


def test_an_error_waits_for_the_others():
    ended = []

    def fails():
        raise CloudError("no.")

    with pytest.raises(CloudError):
        in_parallel([fails, lambda: ended.append(1)])
    assert ended == [1]


def test_outcomes_keep_refusals_and_raise_bugs():
    refused = CloudError("no.")

    def refuses():
        raise refused

    assert outcomes([refuses, lambda: 7]) == [refused, 7]
    with pytest.raises(ZeroDivisionError):
        outcomes([lambda: 1 / 0])
