"""Values: made, compared, hashed and shown by their fields, and never changed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.values import keyword_value_class, replace, value_class


@value_class
class Point:
    x: int
    y: int = 7


@value_class
class Place(Point):
    name: str = ""


@value_class
class Other:
    x: int
    y: int = 7


@keyword_value_class
class Answer:
    warnings: tuple[str, ...] = ()


@value_class
class Found(Answer):
    key: bytes
    count: int = 1


@keyword_value_class
class Late(Answer):
    by_s: float


@value_class
class Nothing:
    pass


@value_class
class Even:
    number: int

    def __post_init__(self) -> None:
        assert self.number % 2 == 0, "only even numbers are even"


@dataclass(frozen=True, slots=True)
class Twin:
    """What the standard library makes of the same fields."""

    x: int
    y: int = 7


small = st.integers(0, 2)


def test_arguments_are_given_by_position_by_name_or_by_default() -> None:
    assert [(p.x, p.y) for p in (Point(1), Point(1, 2), Point(y=2, x=1), Point(1, y=2))] == [
        (1, 7),
        (1, 2),
        (1, 2),
        (1, 2),
    ]


@pytest.mark.parametrize(
    ("positions", "names", "word"),
    [
        ((), {}, "'x'"),
        ((1, 2, 3), {}, "3 arguments"),
        ((1,), {"x": 2}, "x"),
        ((1,), {"z": 2}, "z"),
        ((1, 2), {"z": 2}, "z"),
    ],
)
def test_wrong_arguments_are_a_type_error_that_names_them(
    positions: tuple[int, ...], names: dict[str, int], word: str
) -> None:
    with pytest.raises(TypeError, match=word):
        Point(*positions, **names)


def test_the_fields_of_a_base_come_first_unless_they_are_given_by_name_only() -> None:
    place = Place(1, 2, "here")
    assert (place.x, place.y, place.name) == (1, 2, "here")
    found = Found(b"k", 3, warnings=("w",))
    assert (found.key, found.count, found.warnings) == (b"k", 3, ("w",))
    with pytest.raises(TypeError):
        Found(b"k", 3, ("w",))  # type: ignore[call-arg]


def test_a_keyword_value_takes_nothing_by_position() -> None:
    assert (Late(by_s=1.5).by_s, Late(by_s=1.5).warnings) == (1.5, ())
    with pytest.raises(TypeError):
        Late(1.5)  # type: ignore[call-arg]


@given(small, small, small, small)
def test_values_are_equal_exactly_when_their_fields_are(a: int, b: int, c: int, d: int) -> None:
    assert (Point(a, b) == Point(c, d)) is (Twin(a, b) == Twin(c, d))
    assert (Point(a, b) != Point(c, d)) is (Twin(a, b) != Twin(c, d))


@given(small, small)
def test_equal_values_hash_alike_and_classes_are_told_apart(a: int, b: int) -> None:
    assert hash(Point(a, b)) == hash(Point(a, b)) == hash(Twin(a, b))
    assert Point(a, b) not in {Other(a, b), Place(a, b)}


def test_a_value_cannot_be_changed() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        point.z = 2  # type: ignore[attr-defined]
    with pytest.raises(FrozenInstanceError):
        del point.x


def test_a_value_has_slots_and_no_dictionary() -> None:
    assert not hasattr(Place(1), "__dict__")


def test_a_value_shows_its_fields() -> None:
    assert repr(Place(1, 2, "here")) == "Place(x=1, y=2, name='here')"
    assert repr(Nothing()) == "Nothing()"


def test_replace_changes_what_it_names_and_nothing_else() -> None:
    assert replace(Found(b"k", 3, warnings=("w",)), count=4) == Found(b"k", 4, warnings=("w",))
    assert replace(Twin(1), y=2) == Twin(1, 2)
    with pytest.raises(TypeError, match="z"):
        replace(Point(1), z=2)  # type: ignore[call-arg]


def test_a_value_is_checked_when_it_is_made_and_when_it_is_replaced() -> None:
    with pytest.raises(AssertionError):
        Even(3)
    with pytest.raises(AssertionError):
        replace(Even(2), number=3)


def test_a_value_is_matched_by_its_fields() -> None:
    match Place(1, 2, "here"):
        case Place(x, _, name):
            assert (x, name) == (1, "here")
        case _:
            raise AssertionError("the pattern has the fields' order")
