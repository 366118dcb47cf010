"""Immutable values with slots: frozen dataclasses whose definition compiles nothing.

A dataclass of the standard library writes its methods as text and compiles them when the module is
imported, about a millisecond for each class. For two hundred classes that was the largest part of
a node's start. Here all classes share these few functions, which learn the names of the fields
from the class.

What differs: a default is an immutable object, `field()` is not known, a base's fields may have
defaults where those of its subclass have none, and `replace` is the one of this module.
"""

from cpython.object cimport PyObject_GenericGetAttr, PyObject_GenericSetAttr

import dataclasses
from dataclasses import FrozenInstanceError


_REQUIRED = object()


cdef class Fields:
    """The fields of one class of values, in order."""


def value_class(type written not None):
    """Make a class of annotated fields a value: set once, compared, hashed and shown by them."""
    return _make(written, True)


def keyword_value_class(type written not None):
    """The same, but the fields are given by name only."""
    return _make(written, False)


def replace(obj, /, **changes):
    """A value like `obj` in everything that `changes` does not name; takes dataclasses too."""
    if not hasattr(type(obj), "__value_fields__"):
        return dataclasses.replace(obj, **changes)
    cdef Fields fields = _fields_of(obj)
    cdef dict contents = dict(zip(fields.names, _contents(fields, obj)))
    contents.update(changes)
    return type(obj)(**contents)


cdef object _make(type written, bint by_position):
    """The class anew: slots must be there when a class is made, and defaults must not."""
    cdef dict content = dict(vars(written)), placed = {}, named = {}
    cdef list own = list(content.get("__annotations__", ()))
    cdef Fields fields = Fields(), inherited
    for base in reversed(written.__mro__[1:]):
        if "__value_fields__" in vars(base):
            inherited = base.__value_fields__
            defaults = list(zip(inherited.names, inherited.defaults))
            placed.update(defaults[:inherited.positions])
            named.update(defaults[inherited.positions:])
    slots = tuple([name for name in own if name not in placed and name not in named])
    (placed if by_position else named).update({name: content.pop(name, _REQUIRED) for name in own})
    fields.names, fields.positions = (*placed, *named), len(placed)
    fields.defaults = (*placed.values(), *named.values())
    content.pop("__dict__", None)
    content.pop("__weakref__", None)
    content.update(
        __slots__=slots,
        __value_fields__=fields,
        __match_args__=tuple(placed),
        __init__=_initialise,
        __setattr__=_refuse_to_set,
        __delattr__=_refuse_to_delete,
    )
    for name, method in (("__eq__", _equals), ("__hash__", _hash), ("__repr__", _show)):
        if content.get(name) is None:
            content[name] = method
    made = type(written)(written.__name__, written.__bases__, content)
    fields.check = getattr(made, "__post_init__", None)
    return made


cdef Fields _fields_of(object one):
    return <Fields?>type(one).__value_fields__


cdef tuple _contents(Fields fields, object one):
    return tuple([PyObject_GenericGetAttr(one, name) for name in fields.names])


cdef tuple _complete(Fields fields, str name, tuple given, dict named):
    """The contents of all fields, from arguments by position, arguments by name, and defaults."""
    cdef Py_ssize_t index, used = 0
    cdef list contents = list(given)
    if len(given) > fields.positions:
        raise TypeError(f"{name} is given {len(given)} arguments by position")
    for index in range(len(given), len(fields.names)):
        field = fields.names[index]
        if field in named:
            contents.append(named[field])
            used += 1
        elif fields.defaults[index] is _REQUIRED:
            raise TypeError(f"{name} needs {field!r}")
        else:
            contents.append(fields.defaults[index])
    if used != len(named):
        unknown = [field for field in named if field not in fields.names[len(given):]]
        raise TypeError(f"{name} cannot take {', '.join(unknown)} by name")
    return tuple(contents)


# The methods of all values.


def _initialise(self, /, *given, **named):
    cdef Fields fields = _fields_of(self)
    cdef Py_ssize_t index
    if named or len(given) != len(fields.names) or len(given) != fields.positions:
        given = _complete(fields, type(self).__qualname__, given, named)
    for index in range(len(fields.names)):
        PyObject_GenericSetAttr(self, fields.names[index], given[index])
    if fields.check is not None:
        fields.check(self)


def _equals(self, other, /):
    if self is other:
        return True
    if type(self) is not type(other):
        return NotImplemented
    cdef Fields fields = _fields_of(self)
    for name in fields.names:
        if PyObject_GenericGetAttr(self, name) != PyObject_GenericGetAttr(other, name):
            return False
    return True


def _hash(self, /):
    return hash(_contents(_fields_of(self), self))


def _show(self, /):
    cdef Fields fields = _fields_of(self)
    shown = [f"{name}={PyObject_GenericGetAttr(self, name)!r}" for name in fields.names]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refuse_to_set(self, name, content, /):
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self, name, /):
    raise FrozenInstanceError(f"cannot delete field {name!r}")
