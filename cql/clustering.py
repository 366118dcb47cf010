"""Restrictions of the clustering columns -> ranges of clustering bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cql.bind import Binding, ClusteringTemplate, Slot, key_value
from cql.errors import InvalidRequest
from cql.schema import Column
from cql.types.ordering import ClusteringCodec

Choice = Callable[[Binding], list[tuple[bytes, ...]]]
"""Gives the values that EQ or IN allows, as tuples of one value for each column."""

Slice = Callable[[Binding], tuple[bytes, ...]]
"""Gives the values of one bound of an inequality."""

Range = tuple[bytes, bytes]

LOWEST = b"\x01"
HIGHEST = b"\xff"
WHOLE: tuple[Range, ...] = ((b"", b""),)
WHOLE_WITHOUT_STATIC: tuple[Range, ...] = ((LOWEST, b""),)
RANGES_MAX = 10_000


class ClusteringRanges:
    """What WHERE says of the clustering columns: equalities from the left, then one inequality."""

    def __init__(
        self, columns: tuple[Column, ...], codec: ClusteringCodec, has_static: bool
    ) -> None:
        self.columns = columns
        self._codec = codec
        self._whole = WHOLE_WITHOUT_STATIC if has_static else WHOLE
        self._choices: list[tuple[int, Choice]] = []
        self._slots: list[Slot] = []
        self._template: ClusteringTemplate | None = None
        self._slice_columns: tuple[Column, ...] = ()
        self._lower: tuple[Slice, bool] | None = None
        self._upper: tuple[Slice, bool] | None = None

    def add_choice(self, columns: int, choice: Choice) -> None:
        """The next `columns` columns have one of the values of `choice`."""
        self._choices.append((columns, choice))

    def add_slot(self, column: Column, slot: Slot) -> None:
        """The next column is equal to one value: a whole key of them makes a template."""
        self._slots.append(slot)
        self._choices.append((1, lambda binding: [(key_value(slot, binding, column.name),)]))

    def set_slice(
        self,
        columns: tuple[Column, ...],
        lower: tuple[Slice, bool] | None,
        upper: tuple[Slice, bool] | None,
    ) -> None:
        """The columns after the choices lie between the bounds."""
        self._slice_columns, self._lower, self._upper = columns, lower, upper

    @property
    def fixed_columns(self) -> int:
        """How many columns, from the left, have given values."""
        return sum(columns for columns, _ in self._choices)

    @property
    def is_whole(self) -> bool:
        """Whether all rows of the partition are wanted."""
        return not self._choices and not self._slice_columns

    @property
    def ranges_of_all(self) -> tuple[Range, ...]:
        """The ranges of a whole partition."""
        return self._whole

    @property
    def has_slice(self) -> bool:
        """Whether an inequality restricts the columns."""
        return bool(self._slice_columns)

    @property
    def has_in(self) -> bool:
        """Whether a choice may give several values."""
        return len(self._slots) != len(self._choices)

    @property
    def template(self) -> ClusteringTemplate | None:
        """The slots of a full clustering key, when each column is equal to one value."""
        return self._template

    def finish(self) -> ClusteringRanges:
        """Nothing more is added; what can be prepared is prepared."""
        if len(self._slots) == len(self.columns) and not self._slice_columns:
            names = tuple(column.name for column in self.columns)
            self._template = ClusteringTemplate(tuple(self._slots), names, self._codec)
        return self

    def prefix_values(self, binding: Binding) -> list[tuple[bytes, list[bytes]]]:
        """The same, with the values themselves."""
        lists: list[list[bytes]] = [[]]
        for _, choice in self._choices:
            values = choice(binding)
            if len(lists) * len(values) > RANGES_MAX:
                raise InvalidRequest("The query selects too many rows with IN restrictions")
            lists = [[*head, *value] for head in lists for value in values]
        encoded = {self._codec.encode(values): values for values in lists}
        return sorted(encoded.items())

    def ranges(self, binding: Binding) -> tuple[Range, ...]:
        """Sorted disjoint ranges of the wanted rows; empty when there can be none."""
        if self.is_whole:
            return self._whole
        if self._template is not None:
            row = self._template.bind(binding)
            return ((row, row + b"\x00"),)
        result: list[Range] = []
        for prefix, values in self.prefix_values(binding):
            if self._slice_columns:
                result += self._slice(prefix, values, binding)
            elif len(values) == len(self.columns):
                result.append((prefix, prefix + b"\x00"))
            else:
                result.append((prefix, prefix + HIGHEST))
        result.sort()
        return tuple(result)

    def _slice(self, prefix: bytes, values: list[bytes], binding: Binding) -> list[Range]:
        """The ranges below `prefix` that the inequality allows."""
        ranges: list[Range] = [(prefix or self._whole[0][0], prefix + HIGHEST)]
        for bound, is_lower in ((self._lower, True), (self._upper, False)):
            if bound is not None:
                side = self._side(values, bound[0](binding), is_lower, bound[1])
                ranges = intersect(ranges, side)
        return ranges

    def _side(
        self, head: list[bytes], bound: Sequence[bytes], is_lower: bool, inclusive: bool
    ) -> list[Range]:
        """Rows on one side of a tuple of values.

        (a, b) > (1, 2) is "a > 1" and "a = 1 and b > 2": one range each, because the columns may be
        ordered in different directions.
        """
        result = []
        for i, column in enumerate(self._slice_columns):
            outer = self._codec.encode([*head, *bound[:i]]) if head or i else b""
            inner = self._codec.encode([*head, *bound[: i + 1]])
            takes_equal = inclusive and i == len(bound) - 1
            if is_lower != column.reversed:
                start = inner if takes_equal else inner + HIGHEST
                result.append((start, outer + HIGHEST))
            else:
                end = inner + HIGHEST if takes_equal else inner
                result.append((outer or self._whole[0][0], end))
        return sorted(item for item in result if item[0] < item[1])


def intersect(left: Sequence[Range], right: Sequence[Range]) -> list[Range]:
    """What lies in both lists of disjoint ranges with closed ends."""
    result = []
    for start, end in left:
        for other_start, other_end in right:
            low, high = max(start, other_start), min(end, other_end)
            if low < high:
                result.append((low, high))
    return result
