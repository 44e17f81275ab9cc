"""The matrix itself is tested: a driver that loses something or tells untruths does not get through it."""

from __future__ import annotations

import pytest

from gpucloud.core.cloud import Scan
from gpucloud.core.errors import AmbiguousError, BadRequest
from tests.clouds.http import Fault
from tests.clouds.matrix import Case, Matrix
from tests.clouds.worlds import open_world


@pytest.fixture
def matrix(tmp_path):
    world = open_world("gcp", tmp_path / "cloud")
    yield Matrix(world, tmp_path)
    world.close()


def spoiled(matrix, **methods):
    """Every driver of this matrix gets these methods instead of its own."""
    opened = matrix.world.open_driver

    def open_driver(site):
        driver = opened(site)
        for name, method in methods.items():
            setattr(driver, name, method(getattr(driver, name)))
        return driver

    matrix.world.open_driver = open_driver
    return matrix


def test_a_good_driver_comes_through(matrix):
    matrix.run(Case("up", None))
    matrix.run(Case("down", Fault("instances.delete", "drop_after")))
    assert (matrix.tally.cases, matrix.tally.struck, matrix.tally.problems) == (2, 2, {})


def test_a_removal_that_does_nothing_is_a_leak(matrix):
    spoiled(matrix, destroy=lambda own: lambda resource: None)
    with pytest.raises(AssertionError, match="begin with"):
        matrix.run(Case("up", None))
    assert matrix.tally.leaked > 0
    assert any("down" in problem for problem in next(iter(matrix.tally.problems.values())))


def test_a_find_that_sees_nothing_is_a_leak_and_an_untruth(matrix):
    blind, armed = Scan(scanned=("us-central1",)), []
    matrix.world.server.forget_calls = lambda: armed.append(True)  # when the step itself begins
    spoiled(matrix, find=lambda own: lambda *words: blind if armed else own(*words))
    with pytest.raises(AssertionError, match="begin with"):
        matrix.run(Case("down", None))
    assert any("ended well with" in problem for problem in next(iter(matrix.tally.problems.values())))


def test_a_traceback_is_a_problem(matrix):
    def broken(own):
        def launch(spec):
            own(spec)
            raise KeyError("surprise")

        return launch

    spoiled(matrix, launch=broken)
    matrix.run(Case("up", None))
    assert any("traceback: KeyError" in problem for problem in next(iter(matrix.tally.problems.values())))
    assert matrix.tally.leaked == 0  # what had been made is removed all the same


def test_a_lost_answer_that_is_called_a_refusal_is_found_by_its_tags(matrix):
    """The last line of defence: `down` looks by tag even where the driver was wrong."""

    def careless(own):
        def launch(spec):
            try:
                return own(spec)
            except AmbiguousError as error:
                raise BadRequest(error.message) from None

        return launch

    spoiled(matrix, launch=careless)
    matrix.run(Case("up", Fault("instances.insert", "drop_after")))
    assert matrix.tally.leaked == 0
