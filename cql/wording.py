"""Expressions as CQL text: how messages and result columns show what was written."""

from __future__ import annotations

from cql.parser import tree


def text_of(expression: tree.Expression | tree.InList) -> str:
    """The expression as a message shows it."""
    shown = _simple(expression)
    return shown if shown is not None else _compound(expression)


def _simple(expression: tree.Expression | tree.InList) -> str | None:
    match expression:
        case tree.Literal("string", text):
            return "'" + text.replace("'", "''") + "'"
        case tree.Literal("hex", text):
            return text if text[:2].lower() == "0x" else f"0x{text}"
        case tree.Literal(_, text):
            return text
        case tree.Null():
            return "NULL"
        case tree.Marker(_, name):
            return f":{name}" if name else "?"
        case tree.Column(name):
            return name
        case tree.Count():
            return "count(*)"
    return None


def _joined(items: tuple[tree.Expression, ...]) -> str:
    return ", ".join(map(text_of, items))


def _compound(expression: tree.Expression | tree.InList) -> str:
    match expression:
        case tree.ListTerm(items):
            return f"[{_joined(items)}]"
        case tree.SetTerm(items):
            return "{" + _joined(items) + "}"
        case tree.TupleTerm(items) | tree.InList(items):
            return f"({_joined(items)})"
        case tree.MapTerm(entries):
            return "{" + ", ".join(f"{text_of(k)}: {text_of(v)}" for k, v in entries) + "}"
        case tree.UserTypeTerm(fields):
            return "{" + ", ".join(f"{name}: {text_of(v)}" for name, v in fields) + "}"
        case tree.FunctionCall(keyspace, name, args):
            return f"{keyspace + '.' if keyspace else ''}{name}({_joined(args)})"
        case tree.TypeHint(type_text, term):
            return f"({type_text}){text_of(term)}"
        case tree.Cast(operand, type_text):
            return f"cast({text_of(operand)} as {type_text})"
        case tree.Binary(operator, left, right):
            return f"{text_of(left)} {operator} {text_of(right)}"
        case tree.Negate(operand):
            return f"-{text_of(operand)}"
        case tree.Field(operand, field):
            return f"{text_of(operand)}.{field}"
        case tree.Element(operand, key):
            return f"{text_of(operand)}[{text_of(key)}]"
        case tree.ElementSlice(operand, start, end):
            bounds = ("" if start is None else text_of(start), "" if end is None else text_of(end))
            return f"{text_of(operand)}[{bounds[0]}..{bounds[1]}]"
        case tree.WritetimeOrTtl(function, operand):
            return f"{function}({text_of(operand)})"
    raise AssertionError(f"no text for {type(expression).__name__}")


def relation_text(relation: tree.Relation) -> str:
    """A WHERE relation as it was written."""
    match relation.target:
        case tree.Token(names):
            left = f"token({', '.join(names)})"
        case tree.Columns(names):
            left = f"({', '.join(names)})"
        case target:
            left = text_of(target)
    return f"{left} {relation.operator.value} {text_of(relation.value)}"


def condition_text(condition: tree.Condition) -> str:
    """An IF condition as it was written."""
    left = text_of(condition.target)
    return f"{left} {condition.operator.value} {text_of(condition.value)}"
