"""The book of losses: against a model that remembers everything."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kato_exporter.collectors.loss_ledger import LossLedger
from kato_exporter.collectors.selection import OTHER

NAMES = st.sampled_from(["a", "b", "c", "d", "e", OTHER])
COUNTS = st.none() | st.integers(0, 10**30)
OBSERVATIONS = st.dictionaries(NAMES, COUNTS)


def after(*observations: Mapping[str, int | None], most_names: int = 10) -> Mapping[str, int]:
    """Give what is booked after these observations."""
    ledger = LossLedger(most_names)
    for counts in observations:
        ledger.observe(counts)
    return ledger.lost


def test_what_was_never_seen_has_lost_nothing() -> None:
    """No name, no series; a first count is where a name's book begins."""
    assert {} == after()
    assert {"a": 0} == after({"a": 5})


def test_every_decrease_is_added_up_and_no_increase_is_set_against_it() -> None:
    """From 5 to 3, and from 9 to 8."""
    assert {"a": 3} == after({"a": 5}, {"a": 3}, {"a": 9}, {"a": 8})


def test_a_name_that_is_gone_has_lost_all_and_stays_in_the_book() -> None:
    """Its loss is told for good, and once."""
    assert {"a": 5, "b": 0} == after({"a": 5, "b": 1}, {"b": 1}, {"b": 1})


def test_a_name_that_comes_back_goes_on_in_its_book() -> None:
    """What it holds on its return is no loss; what it loses afterwards is added."""
    assert {"a": 5} == after({"a": 5}, {}, {"a": 2})
    assert {"a": 7} == after({"a": 5}, {}, {"a": 2}, {})


def test_a_count_that_is_unknown_is_no_loss() -> None:
    """The count before it is what the next known one is compared with."""
    assert {"a": 0} == after({"a": 5}, {"a": None})
    assert {"a": 1} == after({"a": 5}, {"a": None}, {"a": None}, {"a": 4})
    assert {"a": 5} == after({"a": 5}, {"a": None}, {})


def test_a_name_whose_count_was_never_known_is_not_in_the_book() -> None:
    """Nobody knows what it has lost, when it is gone least of all."""
    assert {} == after({"a": None})
    assert {} == after({"a": None}, {})


def test_names_beyond_the_limit_share_a_book() -> None:
    """The first by name have their own, and the sum holds."""
    assert {"a": 1, "b": 0, OTHER: 7} == after(
        {"d": 5, "c": 3, "b": 1, "a": 1}, {"b": 1, "c": 1}, most_names=2
    )


def test_other_is_shown_before_it_has_lost_anything() -> None:
    """So that its first loss is an increase."""
    assert {"a": 0, OTHER: 0} == after({"a": 1, "b": 1}, most_names=1)


def test_a_name_with_a_loss_is_never_forgotten_for_another() -> None:
    """Its counter would go down."""
    assert {"a": 5, OTHER: 0} == after({"a": 5}, {}, {"b": 1}, most_names=1)


def test_a_name_that_is_gone_without_a_loss_makes_room() -> None:
    """Empty collections come and go with KATO's processors; only want of room forgets them."""
    assert {"a": 0, "b": 0} == after({"a": 0}, {"b": 1}, most_names=2)
    assert {"b": 0} == after({"a": 0}, {"b": 1}, most_names=1)


def test_a_name_that_exists_keeps_its_book_though_its_count_is_unknown() -> None:
    """A part that fails for a while does not change which names are kept."""
    assert {"b": 0, OTHER: 0} == after({"b": 1}, {"b": None, "a": 1}, most_names=1)


def test_a_name_that_is_called_other_is_booked_there() -> None:
    """It cannot be mistaken for the rest, as it is part of it."""
    assert {OTHER: 4} == after({OTHER: 5}, {OTHER: 1})


@given(st.lists(OBSERVATIONS), st.integers(1, 3))
def test_what_was_handed_out_does_not_change_afterwards(
    observations: list[dict[str, int | None]], most_names: int
) -> None:
    """A snapshot of the book stays as it was."""
    ledger = LossLedger(most_names)
    handed = []
    for counts in observations:
        ledger.observe(counts)
        handed.append((ledger.lost, dict(ledger.lost)))
    assert all(lost == copy for lost, copy in handed)


class Losses(RuleBasedStateMachine):
    """Names come, go, grow, shrink and fall silent; the model knows every loss of every name."""

    @initialize(most_names=st.integers(1, 4))
    def begin(self, most_names: int) -> None:
        """Begin with nothing known."""
        self.most_names = most_names
        self.ledger = LossLedger(most_names)
        self.held: dict[str, int] = {}
        self.losses: dict[str, int] = {}

    @rule(counts=OBSERVATIONS)
    def observe(self, counts: dict[str, int | None]) -> None:
        """Take one look."""
        for name in list(self.held):
            if name not in counts:
                self.losses[name] += self.held.pop(name)
        for name, count in counts.items():
            if count is not None:
                self.losses.setdefault(name, 0)
                self.losses[name] += max(0, self.held.get(name, 0) - count)
                self.held[name] = count
        before = self.ledger.lost
        self.ledger.observe(counts)
        for name, loss in before.items():
            if loss or name in counts:
                assert loss <= self.ledger.lost[name], f"{name} went down"

    @invariant()
    def nothing_is_lost_from_the_book(self) -> None:
        """Compare the sum, which holds whoever has a book of his own."""
        assert sum(self.losses.values()) == sum(self.ledger.lost.values())

    @invariant()
    def no_name_has_more_than_it_lost(self) -> None:
        """Compare name by name; without `other` the books are the model's."""
        lost = self.ledger.lost
        assert all(loss <= self.losses[name] for name, loss in lost.items() if name != OTHER)
        if OTHER not in lost:
            assert {name: loss for name, loss in self.losses.items() if loss} == {
                name: loss for name, loss in lost.items() if loss
            }

    @invariant()
    def names_are_bounded_and_none_is_left_out_without_need(self) -> None:
        """Up to the limit each name is its own; beyond it there is `other`."""
        names = self.ledger.lost.keys() - {OTHER}
        assert len(names) <= self.most_names
        if self.held.keys() - names:
            assert OTHER in self.ledger.lost


TestLosses = Losses.TestCase
