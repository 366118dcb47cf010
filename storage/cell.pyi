"""The parts of a row's bytes: its head and its cells, how they are ordered, read and written."""

from typing import final

@final
class RowWriter: ...
