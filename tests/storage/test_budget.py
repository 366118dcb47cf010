"""Memory, charged before it is used."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from storage.budget import Budget
from storage.errors import OverBudget


def test_an_account_refuses_beyond_its_limit_and_takes_nothing() -> None:
    budget = Budget(100)
    account = budget.account("cache", 50)
    account.charge(50)
    with pytest.raises(OverBudget) as refused:
        account.charge(1)
    assert (refused.value.wanted, refused.value.used, refused.value.limit) == (1, 50, 50)
    assert refused.value.is_definite
    assert (account.used, budget.used, account.refusals) == (50, 50, 1)


def test_the_budget_refuses_what_the_account_would_allow() -> None:
    budget = Budget(100)
    cache, memtables = budget.account("cache", 80), budget.account("memtables", 80)
    cache.charge(80)
    assert not memtables.try_charge(21)
    assert memtables.try_charge(20)
    assert budget.free == memtables.free == 0


def test_what_is_released_can_be_charged_again() -> None:
    account = Budget(10).account("requests", 10)
    account.charge(10)
    account.release(4)
    assert account.free == 4
    account.charge(4)
    assert (account.peak, account.fullness) == (10, 1.0)


def test_more_is_not_given_back_than_was_taken() -> None:
    account = Budget(10).account("requests", 10)
    account.charge(3)
    with pytest.raises(AssertionError):
        account.release(4)


def test_a_name_is_opened_once() -> None:
    budget = Budget(10)
    budget.account("a", 10)
    with pytest.raises(AssertionError):
        budget.account("a", 10)


class BudgetMachine(RuleBasedStateMachine):
    """Charges and releases at random, beside plain sums."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(1000)
        self.accounts = [self.budget.account(str(n), limit) for n, limit in enumerate((400, 900))]
        self.model = [0, 0]

    @rule(number=st.integers(0, 1), size=st.integers(0, 500))
    def charge(self, number: int, size: int) -> None:
        fits = self.model[number] + size <= (400, 900)[number] and sum(self.model) + size <= 1000
        assert self.accounts[number].try_charge(size) is fits
        if fits:
            self.model[number] += size

    @rule(number=st.integers(0, 1), part=st.floats(0, 1))
    def release(self, number: int, part: float) -> None:
        size = int(self.model[number] * part)
        self.accounts[number].release(size)
        self.model[number] -= size

    @invariant()
    def sums_agree(self) -> None:
        self.budget.check()
        assert [account.used for account in self.accounts] == self.model


TestBudgetMachine = BudgetMachine.TestCase
