"""Prints the room lines that docs/architecture.md lacks, and those that are not so.

Run `python tests/house/rooms.py` after a room came, went, or changed its purpose; where a line
belongs is for its author to say.
"""

from __future__ import annotations

import tree


def main() -> None:
    """Compares the page with the tree."""
    users = tree.users_of_rooms()
    listed = (tree.ROOT / "docs/architecture.md").read_text().splitlines()
    wanted = {
        tree.room_line(source, source.room in users or source.room in tree.BUILT_BY_THE_JOINER)
        for source in tree.rooms_to_list()
    }
    present = {line for line in listed if tree.is_room_line(line)}
    for line in sorted(wanted - present):
        print(f"missing    {line}")
    for line in sorted(present - wanted):
        print(f"not so     {line}")


if __name__ == "__main__":
    main()
