"""Function calls, casts and arithmetic as terms: values for a receiver, without a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cql.bind import Slot
from cql.errors import InvalidRequest
from cql.parser import tree
from cql.results import ColumnSpec
from cql.wording import text_of

if TYPE_CHECKING:
    from cql.expressions import Compiled, Expressions
    from cql.terms import Scope


def prepare_term(term: tree.Term, receiver: ColumnSpec, scope: Scope) -> Slot:
    """The slot of a computed term."""
    raise InvalidRequest(f"{text_of(term)} is not supported yet")


def compile_call(expression: tree.Expression, compiler: Expressions) -> Compiled:
    """The computation of a call, cast or arithmetic in the selection."""
    raise InvalidRequest(f"{text_of(expression)} is not supported yet")
