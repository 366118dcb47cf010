"""Statements on roles and permissions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cql.errors import SyntaxException
from cql.parser.cursor import Cursor
from cql.parser.data import read_if_not_exists
from cql.parser.definitions import convert_map, read_argument_types, read_if_exists
from cql.parser.lexer import BOOLEAN, IDENT, QUOTED_NAME, STRING
from cql.parser.names import (
    read_function_name,
    read_keyspace_name,
    read_qualified_name,
    read_role_name,
)
from cql.parser.terms import read_map
from cql.parser.tree import (
    AddIdentity,
    AlterRole,
    CreateRole,
    DropIdentity,
    DropRole,
    Grant,
    GrantRole,
    ListPermissions,
    ListRoles,
    ListSuperUsers,
    ListUsers,
    Resource,
    Revoke,
    RevokeRole,
    RoleOptions,
    Statement,
)
from storage.values import replace

PERMISSIONS: Final = frozenset(
    (
        *("K_CREATE", "K_ALTER", "K_DROP", "K_SELECT", "K_MODIFY", "K_AUTHORIZE"),
        *("K_DESCRIBE", "K_EXECUTE", "K_UNMASK", "K_SELECT_MASKED"),
    )
)
_EXCLUSIVE: Final = "Options 'password' and 'hashed password' are mutually exclusive"


def create_role(c: Cursor) -> CreateRole:
    """CREATE ROLE, from its IF NOT EXISTS on; so too for all that follow here."""
    if_not_exists = read_if_not_exists(c)
    name = read_role_name(c)
    options = _role_options(c) if c.accept("K_WITH") else RoleOptions()
    login, superuser = options.login or False, options.superuser or False
    return CreateRole(name, if_not_exists, replace(options, login=login, superuser=superuser))


def alter_role(c: Cursor) -> AlterRole:
    """ALTER ROLE."""
    if_exists = read_if_exists(c)
    name = read_role_name(c)
    return AlterRole(name, if_exists, _role_options(c) if c.accept("K_WITH") else RoleOptions())


def drop_role(c: Cursor) -> DropRole:
    """DROP ROLE."""
    if_exists = read_if_exists(c)
    return DropRole(read_role_name(c), if_exists)


def create_user(c: Cursor) -> CreateRole:
    """CREATE USER: a role that may log in."""
    if_not_exists = read_if_not_exists(c)
    name = _user_name(c)
    options = _user_options(c)
    superuser = options.superuser or False
    return CreateRole(name, if_not_exists, replace(options, login=True, superuser=superuser))


def alter_user(c: Cursor) -> AlterRole:
    """ALTER USER."""
    if_exists = read_if_exists(c)
    name = _user_name(c)
    return AlterRole(name, if_exists, _user_options(c))


def drop_user(c: Cursor) -> DropRole:
    """DROP USER."""
    if_exists = read_if_exists(c)
    return DropRole(_user_name(c), if_exists)


def _user_name(c: Cursor) -> str:
    if c.kind == QUOTED_NAME:
        raise SyntaxException(
            "Quoted strings are are not supported for user names and USER is deprecated, "
            "please use ROLE"
        )
    if c.kind not in (IDENT, STRING):
        raise c.no_viable()
    return c.take()


def _user_options(c: Cursor) -> RoleOptions:
    options = RoleOptions()
    if c.accept("K_WITH"):
        if c.accept("K_HASHED"):
            c.expect("K_PASSWORD")
            options = replace(options, hashed_password=c.expect(STRING))
        else:
            c.expect("K_PASSWORD")
            options = replace(options, password=c.expect(STRING))
    if c.accept("K_SUPERUSER"):
        return replace(options, superuser=True)
    if c.accept("K_NOSUPERUSER"):
        return replace(options, superuser=False)
    return options


def _role_options(c: Cursor) -> RoleOptions:
    options = _role_option(c, RoleOptions())
    while c.accept("K_AND"):
        options = _role_option(c, options)
    if options.password is not None and options.hashed_password is not None:
        raise SyntaxException(_EXCLUSIVE)
    return options


def _role_option(c: Cursor, options: RoleOptions) -> RoleOptions:
    if c.accept("K_ACCESS"):
        return _access(c, options)
    if c.accept("K_HASHED"):
        c.expect("K_PASSWORD")
        c.expect("'='")
        return replace(options, hashed_password=c.expect(STRING))
    kind = c.kind
    if kind not in ("K_PASSWORD", "K_OPTIONS", "K_SUPERUSER", "K_LOGIN"):
        raise c.no_viable()
    c.advance()
    c.expect("'='")
    if kind == "K_PASSWORD":
        return replace(options, password=c.expect(STRING))
    if kind == "K_OPTIONS":
        return replace(options, options=convert_map(read_map(c).entries))
    value = c.expect(BOOLEAN).lower() == "true"
    if kind == "K_SUPERUSER":
        return replace(options, superuser=value)
    return replace(options, login=value)


def _access(c: Cursor, options: RoleOptions) -> RoleOptions:
    if c.accept("K_TO"):
        if c.accept("K_ALL"):
            c.expect("K_DATACENTERS")
            return replace(options, datacenters=())
        c.expect("K_DATACENTERS")
        return replace(options, datacenters=_strings_in_braces(c))
    c.expect("K_FROM")
    if c.accept("K_ALL"):
        c.expect("K_CIDRS")
        return replace(options, cidr_groups=())
    c.expect("K_CIDRS")
    return replace(options, cidr_groups=_strings_in_braces(c))


def _strings_in_braces(c: Cursor) -> tuple[str, ...]:
    c.expect("'{'")
    strings = [c.expect(STRING)]
    while c.accept("','"):
        strings.append(c.expect(STRING))
    c.expect("'}'")
    return tuple(strings)


# ---------------------------------------------------------------- grants and lists


def read_grant(c: Cursor) -> Grant | GrantRole:
    """GRANT of a role, or of permissions on a resource."""
    c.advance()
    if _names_a_role(c, "K_TO"):
        role = read_role_name(c)
        c.expect("K_TO")
        return GrantRole(role, read_role_name(c))
    permissions = _permissions(c)
    c.expect("K_ON")
    resource = _resource(c)
    c.expect("K_TO")
    return Grant(permissions, resource, read_role_name(c))


def read_revoke(c: Cursor) -> Revoke | RevokeRole:
    """REVOKE of a role, or of permissions on a resource."""
    c.advance()
    if _names_a_role(c, "K_FROM"):
        role = read_role_name(c)
        c.expect("K_FROM")
        return RevokeRole(role, read_role_name(c))
    permissions = _permissions(c)
    c.expect("K_ON")
    resource = _resource(c)
    c.expect("K_FROM")
    return Revoke(permissions, resource, read_role_name(c))


def _names_a_role(c: Cursor, then: str) -> bool:
    """Permissions' words may name roles: what follows them tells."""
    if c.peek() == then:
        return True
    return c.kind not in PERMISSIONS and c.kind != "K_ALL"


def _permissions(c: Cursor) -> tuple[str, ...]:
    if c.accept("K_ALL"):
        c.accept("K_PERMISSIONS")
        return ()
    permissions = [_permission(c)]
    while c.accept("','"):
        permissions.append(_permission(c))
    return tuple(permissions)


def _permission(c: Cursor) -> str:
    if c.kind not in PERMISSIONS:
        raise c.no_viable()
    name = c.take().upper()
    c.accept("K_PERMISSION")
    return name


def _resource(c: Cursor) -> Resource:
    if c.kind == "K_ALL" and c.peek() in _ALL_RESOURCES:
        return _all_resource(c)
    if c.kind in ("K_KEYSPACE", "K_SCHEMA"):
        c.advance()
        return Resource("keyspace", read_keyspace_name(c))
    if c.kind == "K_ROLE" and c.peek() not in ("K_TO", "K_FROM", "'.'", "K_OF", "EOF"):
        c.advance()
        return Resource("role", name=read_role_name(c))
    if c.kind == "K_FUNCTION" and c.peek() not in ("K_TO", "K_FROM", "'.'", "K_OF", "EOF"):
        c.advance()
        function = read_function_name(c)
        types = read_argument_types(c)
        return Resource("function", function.keyspace, function.name, types)
    if c.kind in ("K_MBEAN", "K_MBEANS") and c.peek() == STRING:
        kind = c.take().lower()
        return Resource(kind, name=c.take())
    c.accept("K_COLUMNFAMILY")
    table = read_qualified_name(c)
    return Resource("table", table.keyspace, table.name)


def _all_resource(c: Cursor) -> Resource:
    c.advance()
    kind = _ALL_RESOURCES[c.kind]
    c.advance()
    if kind == "all tables" or (kind == "all functions" and c.kind == "K_IN"):
        c.expect("K_IN")
        c.expect("K_KEYSPACE")
        return Resource(
            kind if kind == "all tables" else kind + " in keyspace", read_keyspace_name(c)
        )
    return Resource(kind)


_ALL_RESOURCES: Final = {
    "K_KEYSPACES": "all keyspaces",
    "K_TABLES": "all tables",
    "K_ROLES": "all roles",
    "K_FUNCTIONS": "all functions",
    "K_MBEANS": "all mbeans",
}


def read_list(c: Cursor) -> Statement:
    """LIST ROLES, USERS, SUPERUSERS or permissions."""
    kind = c.peek()
    if kind == "K_USERS":
        c.advance()
        c.advance()
        return ListUsers()
    if kind == "K_SUPERUSERS":
        c.advance()
        c.advance()
        return ListSuperUsers()
    if kind == "K_ROLES":
        c.advance()
        c.advance()
        return ListRoles(*_of_role(c))
    if kind not in PERMISSIONS and kind != "K_ALL":
        raise c.no_viable_ahead(1)
    c.advance()
    permissions = _permissions(c)
    resource = _resource(c) if c.accept("K_ON") else None
    return ListPermissions(permissions, resource, *_of_role(c))


def _of_role(c: Cursor) -> tuple[str | None, bool]:
    role = read_role_name(c) if c.accept("K_OF") else None
    return role, not c.accept("K_NORECURSIVE")


# ---------------------------------------------------------------- identities


def read_add_identity(c: Cursor) -> AddIdentity:
    """ADD IDENTITY."""
    c.advance()
    c.expect("K_IDENTITY")
    if_not_exists = read_if_not_exists(c)
    identity = _identity(c)
    c.expect("K_TO")
    c.expect("K_ROLE")
    return AddIdentity(identity, _identity(c), if_not_exists)


def drop_identity(c: Cursor) -> DropIdentity:
    """DROP IDENTITY."""
    if_exists = read_if_exists(c)
    return DropIdentity(_identity(c), if_exists)


def _identity(c: Cursor) -> str:
    if c.kind == QUOTED_NAME:
        raise SyntaxException("Quoted strings are are not supported for identity")
    if c.kind not in (IDENT, STRING):
        raise c.no_viable()
    return c.take()


CREATE: Final[dict[str, Callable[[Cursor], Statement]]] = {
    "K_ROLE": create_role,
    "K_USER": create_user,
}
ALTER: Final[dict[str, Callable[[Cursor], Statement]]] = {
    "K_ROLE": alter_role,
    "K_USER": alter_user,
}
DROP: Final[dict[str, Callable[[Cursor], Statement]]] = {
    "K_ROLE": drop_role,
    "K_USER": drop_user,
    "K_IDENTITY": drop_identity,
}
