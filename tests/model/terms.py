"""The bytes of constant terms, made in the plainest way, for tests that start from CQL text."""

from __future__ import annotations

from cql.parser import tree
from cql.parser.grammar import parse
from cql.types.catalog import CqlType, ListType, MapType, SetType, TupleType, UserType, VectorType
from cql.types.codec import pack_collection, pack_map, pack_tuple, pack_vector
from cql.types.ordering import normalise
from cql.types.text import is_assignable, literal


def term_of(cql: str) -> tree.Expression:
    """The tree of a term."""
    statement = parse(f"INSERT INTO t (a) VALUES ({cql})")
    assert isinstance(statement, tree.Insert)
    return statement.values[0]


def value_of(cql_type: CqlType, term: tree.Expression) -> bytes | None:
    """The bytes of a term for a receiver of that type."""
    if isinstance(term, tree.Null):
        return None
    if isinstance(term, tree.Literal):
        assert is_assignable(term.kind, cql_type), (term, cql_type)
        return literal(cql_type, term.kind, term.text)
    if isinstance(term, tree.FunctionCall):
        assert term.name.startswith("blob_as_")
        return b""
    return _compound(cql_type, term)


def _compound(cql_type: CqlType, term: tree.Expression) -> bytes:
    if isinstance(cql_type, MapType):
        assert isinstance(term, tree.MapTerm) or term == tree.SetTerm(())
        entries = term.entries if isinstance(term, tree.MapTerm) else ()
        pairs = [(_part(cql_type.key, k), _part(cql_type.value, v)) for k, v in entries]
        return normalise(cql_type, pack_map(pairs))
    if isinstance(cql_type, UserType):
        assert isinstance(term, tree.UserTypeTerm)
        named = dict(term.fields)
        fields = zip(cql_type.field_names, cql_type.field_types, strict=True)
        return pack_tuple([value_of(t, named.get(n, tree.Null())) for n, t in fields])
    assert isinstance(term, tree.ListTerm | tree.SetTerm | tree.TupleTerm), term
    if isinstance(cql_type, TupleType):
        return pack_tuple(
            [value_of(t, i) for t, i in zip(cql_type.elements, term.items, strict=True)]
        )
    assert isinstance(cql_type, ListType | SetType | VectorType)
    elements = [_part(cql_type.element, item) for item in term.items]
    if isinstance(cql_type, VectorType):
        return pack_vector(cql_type, elements)
    return normalise(cql_type, pack_collection(elements))


def _part(cql_type: CqlType, term: tree.Expression) -> bytes:
    value = value_of(cql_type, term)
    assert value is not None, "collections hold no null"
    return value
