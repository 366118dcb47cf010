"""Comparing and searching byte strings."""


def find(list keys not None, bytes key not None) -> int:
    """The first index whose key is not below `key`; `keys` are ascending bytes."""
    return find_place(keys, key, 0, len(keys))
