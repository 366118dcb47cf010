from dataclasses import replace as replace
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")

class Fields: ...

@dataclass_transform(frozen_default=True)
def value_class(written: type[_T]) -> type[_T]: ...
@dataclass_transform(frozen_default=True, kw_only_default=True)
def keyword_value_class(written: type[_T]) -> type[_T]: ...
