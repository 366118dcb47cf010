"""A shard's memory, charged before it is used.

A `Budget` is what a shard may use. An `Account` is a named part of it (row cache, memtables,
requests, index and filter memory) with a limit of its own; the limits may add up to more than the
budget, which then decides. Charging never waits: who is refused says so, or frees something first.
"""

from storage.errors import OverBudget


class Budget:
    """The memory of one shard, in bytes."""

    __slots__ = ("_accounts", "bytes_max", "used")

    def __init__(self, bytes_max: int) -> None:
        assert bytes_max > 0, "a shard needs memory"
        self.bytes_max = bytes_max
        self.used = 0
        self._accounts: dict[str, Account] = {}

    def account(self, name: str, bytes_max: int) -> "Account":
        """Open the account called `name`, which may use up to `bytes_max`."""
        assert name not in self._accounts, f"there is an account {name} already"
        assert 0 < bytes_max <= self.bytes_max, "an account is a part of its budget"
        account = self._accounts[name] = Account(self, name, bytes_max)
        return account

    @property
    def free(self) -> int:
        """How much can still be charged to all accounts together."""
        return self.bytes_max - self.used

    def accounts(self) -> "tuple[Account, ...]":
        """Give the accounts in the order in which they were opened."""
        return tuple(self._accounts.values())

    def check(self) -> None:
        """Prove the invariants."""
        assert self.used == sum(account.used for account in self.accounts()), "accounts add up"
        assert 0 <= self.used <= self.bytes_max, "the budget is kept"
        for account in self.accounts():
            assert 0 <= account.used <= account.bytes_max, f"{account.name} keeps its limit"
            assert account.used <= account.peak, "a peak is a maximum"


class Account:
    """What one user of memory has charged."""

    __slots__ = ("_budget", "bytes_max", "name", "peak", "refusals", "used")

    def __init__(self, budget: Budget, name: str, bytes_max: int) -> None:
        self._budget = budget
        self.name = name
        self.bytes_max = bytes_max
        self.used = 0
        self.peak = 0
        self.refusals = 0

    # Hot path: each write charges what it adds.

    def try_charge(self, size: int) -> bool:
        """Take `size` bytes if the account and the budget have them."""
        used = self.used + size
        budget = self._budget
        if used > self.bytes_max or budget.used + size > budget.bytes_max:
            self.refusals += 1
            return False
        self.used = used
        budget.used += size
        if used > self.peak:
            self.peak = used
        return True

    # End of the hot path.

    def charge(self, size: int) -> None:
        """Take `size` bytes, or raise `OverBudget` with nothing taken."""
        if not self.try_charge(size):
            limit = min(self.bytes_max, self.used + self._budget.free)
            raise OverBudget(self.name, size, self.used, limit)

    def release(self, size: int) -> None:
        """Give back what was charged."""
        assert 0 <= size <= self.used, f"{self.name} gives back no more than it took"
        self.used -= size
        self._budget.used -= size

    @property
    def free(self) -> int:
        """How much this account can still charge."""
        return min(self.bytes_max - self.used, self._budget.free)

    @property
    def fullness(self) -> float:
        """How much of its own limit is in use, from 0 to 1."""
        return self.used / self.bytes_max
