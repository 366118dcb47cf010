"""Hypothesis strategies of the model's writes: few keys and timestamps, so that they collide."""

from hypothesis import strategies as st

from tests.model.table import STATIC, CellWrite, Deletion, MarkerWrite

KEYS = [b"\x10key00000", b"\x10key00001", b"\x90key00002"]
CLUSTERINGS = [bytes([0x10 + i]) + b"c" for i in range(6)]
BOUNDS = [*CLUSTERINGS, *[c[:1] for c in CLUSTERINGS], *[c[:1] + b"\xff" for c in CLUSTERINGS]]

TIMES = st.integers(1, 12)
SECONDS = st.integers(1, 20)
TTLS = st.integers(1, 9)
VALUES = st.sampled_from([b"", b"a", b"b", b"long" * 20])
PLAIN = st.integers(1, 3)
COLLECTION = 4
PATHS = st.sampled_from([b"p", b"q"])


def _cells(key: bytes, clustering: st.SearchStrategy[bytes]) -> st.SearchStrategy[CellWrite]:
    at = {"key": st.just(key), "clustering": clustering, "ts": TIMES}
    plain = {"column": PLAIN, "path": st.none()}
    element = {"column": st.just(COLLECTION), "path": PATHS}
    return st.one_of(
        *[
            st.builds(CellWrite, **at, **place, **what)
            for place in (plain, element)
            for what in (
                {"value": VALUES},
                {"value": VALUES, "ttl": TTLS, "second": SECONDS},
                {"value": st.none(), "second": SECONDS},
            )
        ]
    )


def _deletions(key: bytes, clustering: st.SearchStrategy[bytes]) -> st.SearchStrategy[Deletion]:
    def whole_row(c: bytes, ts: int) -> Deletion:
        return Deletion(key, c, c + b"\0", ts)

    def collection(c: bytes, ts: int) -> Deletion:
        return Deletion(key, c, c + b"\0", ts, column=COLLECTION)

    return st.one_of(
        st.builds(whole_row, clustering, TIMES),
        st.builds(collection, clustering, TIMES),
        st.builds(lambda ts: Deletion(key, b"", b"", ts, includes_static=True), TIMES),
    )


def _ranges(key: bytes) -> st.SearchStrategy[Deletion]:
    return st.builds(
        lambda bounds, ts: Deletion(key, min(bounds), max(bounds), ts),
        st.lists(st.sampled_from([b"\x01", *BOUNDS]), min_size=2, max_size=2, unique=True),
        TIMES,
    ) | st.builds(lambda low, ts: Deletion(key, low, b"", ts), st.sampled_from(BOUNDS), TIMES)


def changes(
    has_static: bool = True, has_clustering: bool = True
) -> st.SearchStrategy[CellWrite | MarkerWrite | Deletion]:
    """Writes to a table of the given shape."""
    wide = st.sampled_from(CLUSTERINGS) if has_clustering else st.just(b"")
    any_row = st.just(STATIC) | wide if has_static else wide

    def of(key: bytes) -> st.SearchStrategy[CellWrite | MarkerWrite | Deletion]:
        markers = st.one_of(
            st.builds(MarkerWrite, st.just(key), wide, TIMES),
            st.builds(MarkerWrite, st.just(key), wide, TIMES, TTLS, SECONDS),
        )
        kinds: list[st.SearchStrategy[CellWrite | MarkerWrite | Deletion]]
        kinds = [_cells(key, any_row), _cells(key, any_row), markers, _deletions(key, wide)]
        if has_clustering:
            kinds.append(_ranges(key))
        return st.one_of(kinds)

    return st.one_of([of(key) for key in KEYS])
