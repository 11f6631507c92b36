# SPDX-License-Identifier: Apache-2.0
"""The exception tree, and the shape check behind most of its messages."""

from __future__ import annotations

import re

import pytest

from monai_semigan import errors
from monai_semigan.errors import OutputError, SemiGanError, ShapeError, check_shape

ALSO = {
    "BackendError": RuntimeError,
    "BundleError": Exception,
    "CheckpointError": Exception,
    "ConfigError": ValueError,
    "GeometryError": ValueError,
    "InputError": ValueError,
    "OutOfDistributionError": ValueError,
    "OutputError": OSError,
    "PeerError": OSError,
    "ShapeError": ValueError,
    "TrainingError": RuntimeError,
}


@pytest.mark.parametrize("name", sorted(ALSO))
def test_errors_can_be_caught_as_ours_and_as_the_builtin(name: str) -> None:
    error = getattr(errors, name)

    assert issubclass(error, SemiGanError) and issubclass(error, ALSO[name])
    assert str(error("`size` must be even, got 3.")) == "`size` must be even, got 3."


def test_the_tree_is_complete() -> None:
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }

    assert defined == {"SemiGanError", *ALSO}
    assert set(errors.__all__) == {*defined, "check_shape"}
    assert all(name in str(errors.__doc__) for name in defined)


def test_an_output_error_is_not_taken_for_a_closed_pipe() -> None:
    """Click ends silently after an `OSError` with EPIPE; ours must reach the user."""
    assert OutputError("`output` must be writable.").errno is None


def test_letters_are_bound_to_sizes() -> None:
    assert check_shape("x", (2, 3, 5, 7), "N 3 H W") == {"N": 2, "H": 5, "W": 7}


def test_the_same_letter_means_the_same_size() -> None:
    assert check_shape("x", (2, 5, 5), "N S S") == {"N": 2, "S": 5}
    with pytest.raises(ShapeError):
        check_shape("x", (2, 5, 7), "N S S")


@pytest.mark.parametrize("shape", [(2, 4, 5, 7), (2, 3, 5), (2, 3, 5, 7, 1), ()])
def test_a_wrong_shape_is_named_with_what_was_expected(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=rf"^`x` must have shape \(N, 3, H, W\), got {re.escape(str(shape))}\.$"):
        check_shape("x", shape, "N 3 H W")
