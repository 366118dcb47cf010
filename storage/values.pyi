from dataclasses import replace as replace
from typing import TypeVar, dataclass_transform

T = TypeVar("T")

class Fields: ...

@dataclass_transform(frozen_default=True)
def value_class(written: type[T]) -> type[T]: ...
@dataclass_transform(frozen_default=True, kw_only_default=True)
def keyword_value_class(written: type[T]) -> type[T]: ...
