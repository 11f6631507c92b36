"""Settings from JSON: what is taken, what is refused in which words, and that the schema says the same."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_semigan.errors import BundleError, ConfigError
from monai_semigan.settings import Pattern, Range, check_settings, json_schema, read_settings, to_json


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part.

    Attributes:
        width: Of it, in ``mm``,
            over two lines.
    """

    width: Annotated[int, Range(1, 9)]

    def __post_init__(self) -> None:
        check_settings(self)
        if self.width == 7:
            raise ConfigError("`width` must not be 7.")


@dataclass(frozen=True, kw_only=True)
class Whole:
    flag: bool = False
    count: int = 0
    share: Annotated[float, Range(0, 1, exclusive="low")] = 0.5
    open_end: Annotated[float, Range(0)] = 0.0
    number: float = 0.0
    text: str = ""
    digest: Annotated[str, Pattern("[0-9a-f]{4}", "four hexadecimal digits")] = "0000"
    kind: Literal["a", "b", 3] = "a"
    size: Annotated[int, Range(0, 4)] | None = None
    widths: tuple[Annotated[int, Range(1)], ...] = ()
    pair: tuple[int, str] = (0, "")
    names: Sequence[str] = ()
    part: Part | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)
    either: int | tuple[str, ...] = 0
    place: Path = Path()
    anything: Any = None

    def __post_init__(self) -> None:
        check_settings(self)


FULL = {
    "flag": True, "count": -2, "share": 1, "open_end": 3e8, "number": -1.5, "text": "t", "digest": "00ff", "kind": 3,
    "size": 4, "widths": [1, 2], "pair": [5, "x"], "names": ["n"], "part": {"width": 3}, "parts": {"p": {"width": 1}},
    "either": ["y"], "place": "a/b", "anything": {"k": [None]},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Inner:
    low: int = 1
    high: int = 2

    def __post_init__(self) -> None:
        check_settings(self)
        if self.low > self.high:
            raise ConfigError("`low` must not be above `high`.")


@dataclass(frozen=True, kw_only=True)
class Middle:
    inner: Inner = Inner(low=3, high=4)
    other: Inner | None = None
    count: int = 0


@dataclass(frozen=True, kw_only=True)
class Outer:
    middle: Middle = field(default_factory=lambda: Middle(inner=Inner(low=5, high=6), count=7))
    maybe: Middle | None = Middle(count=8)


def test_what_an_object_leaves_out_is_as_in_the_default_of_its_field() -> None:
    read = read_settings(Outer, {"middle": {"inner": {"high": 9}, "other": {"high": 5}}, "maybe": {}}, "x")
    assert read.middle == Middle(inner=Inner(low=5, high=9), other=Inner(low=1, high=5), count=7)
    assert read.maybe == Middle(inner=Inner(low=3, high=4), count=8)


def test_an_object_is_checked_with_what_it_leaves_out() -> None:
    with pytest.raises(ConfigError, match=r"`middle.inner` in `x` must hold valid settings, but `low` must not"):
        read_settings(Outer, {"middle": {"inner": {"high": 4}}}, "x")


def test_all_kinds_are_read_and_written() -> None:
    whole = read_settings(Whole, FULL | {"_remark": "passed over"}, "whole")

    assert whole.widths == (1, 2)
    assert whole.pair == (5, "x")
    assert whole.part == Part(width=3)
    assert whole.parts == {"p": Part(width=1)}
    assert type(whole.share) is float
    assert whole.place == Path("a/b")
    assert to_json(whole) == FULL
    jsonschema.validate(json.loads(json.dumps(to_json(whole))), json_schema(Whole))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("flag", 1, "`flag` in `whole` must be true or false, got 1."),
        ("count", True, "`count` in `whole` must be a whole number, got True."),
        ("count", 1.0, "`count` in `whole` must be a whole number, got 1.0."),
        ("share", 0, "`share` in `whole` must be a number above 0 to 1, got 0."),
        ("share", math.nan, "`share` in `whole` must be a number above 0 to 1, got nan."),
        ("share", False, "`share` in `whole` must be a number, got False."),
        ("open_end", math.inf, "`open_end` in `whole` must be a number of usual size, got inf."),
        ("number", math.nan, "`number` in `whole` must be a number of usual size, got nan."),
        ("number", 10**400, "`number` in `whole` must be a number of usual size, got a very large number."),
        ("text", None, "`text` in `whole` must be text, got None."),
        ("text", 5, "`text` in `whole` must be text, got 5."),
        ("digest", "00ff\n", r"`digest` in `whole` must be four hexadecimal digits, got '00ff\n'."),
        ("kind", "c", "`kind` in `whole` must be one of a, b, 3, got 'c'."),
        ("kind", ["a"], "`kind` in `whole` must be one of a, b, 3, got a list of 1."),
        ("size", 5, "`size` in `whole` must be a whole number from 0 to 4, got 5."),
        ("widths", 3, "`widths` in `whole` must be a list, got 3."),
        ("widths", [1, 0], "`widths[1]` in `whole` must be a whole number from 1, got 0."),
        ("pair", [1], "`pair` in `whole` must be a list of 2, got a list of 1."),
        ("pair", [1, 2], "`pair[1]` in `whole` must be text, got 2."),
        ("names", "ab", "`names` in `whole` must be a list, got 'ab'."),
        ("part", {"width": "3"}, "`part.width` in `whole` must be a whole number, got '3'."),
        ("part", {}, "`part` in `whole` must be an object with the keys width, got 'none'."),
        ("part", {"width": 1, "hight": 2}, "`part` in `whole` must be an object of known keys (width), got 'hight'."),
        ("part", {"width": 7}, "`part` in `whole` must hold valid settings, but `width` must not be 7."),
        ("parts", {"p": {"width": 0}}, "`parts.p.width` in `whole` must be a whole number from 1 to 9, got 0."),
        ("parts", {"p\n\x1b": 0}, r"`parts.p\n\x1b` in `whole` must be an object, got 0."),
        ("parts", [], "`parts` in `whole` must be an object, got a list of 0."),
        ("either", "x", "`either` in `whole` must be a whole number or a list, got 'x'."),
        ("either", ["x", 1], "`either[1]` in `whole` must be text, got 1."),
        ("place", 1, "`place` in `whole` must be a path, got 1."),
        ("text\x07", 1, r"got 'text\x07'."),
        ("text", [1] * 1000, "`text` in `whole` must be text, got a list of 1000."),
    ],
)  # fmt: skip
def test_wrong_values_are_named_with_their_place(key: str, value: Any, words: str) -> None:
    with pytest.raises(BundleError) as caught:
        read_settings(Whole, {key: value}, "whole", error=BundleError)

    assert str(caught.value).endswith(words)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_other_things_than_objects_are_refused(values: Any) -> None:
    with pytest.raises(ConfigError, match="`whole` must be an object, got"):
        read_settings(Whole, values, "whole")


def test_long_values_are_cut() -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(Whole, {"kind": "x" * 5000, "y": 1}, "whole")
    assert len(str(caught.value)) < 400
    with pytest.raises(ConfigError) as caught:
        read_settings(Whole, {"kind": "x" * 5000}, "whole")
    assert len(str(caught.value)) < 200


def test_settings_made_in_python_are_checked() -> None:
    assert Whole(share=1, part=Part(width=2)).share == 1
    with pytest.raises(ConfigError, match=r"`parts\.p` must be an object, got 5\."):
        Whole(parts={"p": 5})  # type: ignore[dict-item]


def test_the_schema_describes_the_fields() -> None:
    schema = json_schema(Part, title="A part", identifier="https://example.org/part")

    assert schema["title"] == "A part"
    assert schema["$id"] == "https://example.org/part"
    assert schema["required"] == ["width"]
    assert schema["properties"]["width"] == {
        "type": "integer", "minimum": 1, "maximum": 9, "description": "Of it, in `mm`, over two lines.",
    }  # fmt: skip


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.floats() | st.sampled_from(["a", "b", "00ff", "x\n"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["width", "p", "_q"]), inner),
    max_leaves=4,
)


@given(key=st.sampled_from(sorted(FULL)), value=ANY_JSON)
def test_what_the_reader_takes_the_schema_takes(key: str, value: Any) -> None:
    try:
        read_settings(Whole, {key: value}, "whole")
    except ConfigError:
        return
    jsonschema.validate({key: value}, json_schema(Whole))


@given(key=st.sampled_from(sorted(FULL)), value=ANY_JSON)
def test_what_the_schema_refuses_the_reader_refuses(key: str, value: Any) -> None:
    if jsonschema.Draft202012Validator(json_schema(Whole)).is_valid({key: value}):
        return
    with pytest.raises(ConfigError):
        read_settings(Whole, {key: value}, "whole")
