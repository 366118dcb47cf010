"""Bounds on names, numbers and sizes: what is refused although the grammar allows it."""

from __future__ import annotations

import re
from typing import Final

from cql.errors import ConfigurationError, InvalidRequest

KEYSPACE_NAME_LENGTH_MAX: Final = 48
TABLE_NAME_LENGTH_MAX: Final = 222
TYPE_NAME_LENGTH_MAX: Final = 222
COLUMN_NAME_BYTES_MAX: Final = 65_535
COLUMNS_PER_TABLE_MAX: Final = 10_000
COLUMN_IDS_PER_TABLE_MAX: Final = 65_535
FIELDS_PER_TYPE_MAX: Final = 1_000
KEY_BYTES_MAX: Final = 65_535
BATCH_WARN_BYTES: Final = 5 * 1024
BATCH_FAIL_BYTES: Final = 50 * 1024
_NAME: Final = re.compile(r"\w+", re.ASCII)


def check_keyspace_name(name: str) -> None:
    """Raise InvalidRequest unless the name may be a keyspace's."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            "Keyspace name must not be empty and must contain alphanumeric or underscore "
            f'characters only (got "{name}")'
        )
    if len(name) > KEYSPACE_NAME_LENGTH_MAX:
        raise InvalidRequest(
            f"Keyspace name must not be more than {KEYSPACE_NAME_LENGTH_MAX} characters long "
            f'(got {len(name)} characters for "{name}")'
        )


def check_table_name(keyspace: str, name: str) -> None:
    """Raise ConfigurationError unless the name may be a table's."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{keyspace}.{name}: Table name must not be empty or not contain "
            f'non-alphanumeric-underscore characters (got "{name}")'
        )
    if len(name) > TABLE_NAME_LENGTH_MAX:
        raise ConfigurationError(
            f"{keyspace}.{name}: Table name must not be more than {TABLE_NAME_LENGTH_MAX} "
            f'characters long (got {len(name)} characters for "{name}")'
        )


def check_column_count(table: str, count: int) -> None:
    """Raise InvalidRequest if a table would have too many columns."""
    if count > COLUMNS_PER_TABLE_MAX:
        raise InvalidRequest(
            f"Tables cannot have more than {COLUMNS_PER_TABLE_MAX} columns, "
            f"but {count} provided for table {table}"
        )


def check_column_ids(table: str, next_id: int) -> None:
    """Raise InvalidRequest if so many columns came and went that no id is left for another."""
    if next_id > COLUMN_IDS_PER_TABLE_MAX:
        raise InvalidRequest(
            f"Table {table} had {next_id - 1} columns in its life and can not get another one"
        )


def check_field_count(user_type: str, count: int) -> None:
    """Raise InvalidRequest if a user type would have too many fields."""
    if count > FIELDS_PER_TYPE_MAX:
        raise InvalidRequest(
            f"User types cannot have more than {FIELDS_PER_TYPE_MAX} fields, "
            f"but {count} provided for type {user_type}"
        )


def check_column_name(name: str) -> None:
    """Raise InvalidRequest unless the name may be a column's."""
    if len(name.encode()) > COLUMN_NAME_BYTES_MAX:
        raise InvalidRequest(f"Column names can not have more than {COLUMN_NAME_BYTES_MAX} bytes")
