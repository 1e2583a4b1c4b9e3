from collections import Counter

import pytest

from zmqcluster.errors import NoMember
from zmqcluster.protocol.placement import Uniform

MEMBERS = ("a@h", "b@h", "c@h")
IDS = [f"DON-{number}" for number in range(1_000)]


def test_choose_when_members_and_id_are_equal_then_so_is_the_choice() -> None:
    assert [Uniform().choose(child_id, MEMBERS) for child_id in IDS] == [
        Uniform().choose(child_id, MEMBERS) for child_id in IDS
    ]


def test_choose_when_1000_children_then_each_member_gets_its_share() -> None:  # S01
    counts = Counter(Uniform().choose(child_id, MEMBERS) for child_id in IDS)

    assert sorted(counts) == list(MEMBERS)
    assert all(250 <= count <= 417 for count in counts.values())


@pytest.mark.parametrize("lost", MEMBERS)
def test_choose_when_a_member_is_lost_then_only_its_children_move(lost: str) -> None:
    remaining = tuple(member for member in MEMBERS if member != lost)

    for child_id in IDS:
        before = Uniform().choose(child_id, MEMBERS)
        assert before == lost or Uniform().choose(child_id, remaining) == before


def test_choose_when_there_is_no_member_then_it_says_so() -> None:
    with pytest.raises(NoMember):
        Uniform().choose("DON-1", ())
