"""Guardrails of batches: what is too large is refused, what is unwise is warned about."""

from __future__ import annotations

from collections.abc import Sequence

from cql.errors import InvalidRequest
from cql.parser.tree import BatchKind
from cql.plan import WritePlan
from storage.mutation import Mutation
from storage.values import value_class

KIB = 1024


@value_class
class BatchGuard:
    """The bounds of a batch over several partitions."""

    warn_bytes: int = 5 * KIB
    fail_bytes: int = 50 * KIB
    unlogged_partitions_warn: int = 10

    def check(
        self, kind: BatchKind, mutations: Sequence[Mutation], plans: Sequence[WritePlan]
    ) -> tuple[str, ...]:
        """The warnings of a batch; InvalidRequest when it is too large."""
        if len(mutations) < 2:
            return ()
        warnings = []
        size = sum(len(mutation.data) for mutation in mutations)
        names = ", ".join(dict.fromkeys(plan.table.full_name for plan in plans))
        if size > self.fail_bytes:
            raise InvalidRequest("Batch too large")
        if size > self.warn_bytes:
            warnings.append(
                f"Batch for [{names}] is of size {_kib(size)}, exceeding specified threshold of "
                f"{_kib(self.warn_bytes)} by {_kib(size - self.warn_bytes)}."
            )
        if kind is BatchKind.UNLOGGED and len(mutations) > self.unlogged_partitions_warn:
            several = "s" if ", " in names else ""
            warnings.append(
                f"Unlogged batch covering {len(mutations)} partitions detected against table"
                f"{several} [{names}]. You should use a logged batch for atomicity, or "
                "asynchronous writes for performance."
            )
        return tuple(warnings)


def _kib(size: int) -> str:
    return f"{size / KIB:.3f}KiB"
