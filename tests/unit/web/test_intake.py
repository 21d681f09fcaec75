"""How much of bodies may be in memory."""

import pytest

from camiohookd.web.intake import BodyMemory
from camiohookd.web.server.answers import Refused


def test_what_is_taken_is_not_there_for_others_until_it_is_given_back() -> None:
    room = BodyMemory(100)
    room.take(60)
    with pytest.raises(Refused) as refusal:
        room.take(41)
    assert refusal.value.answer.status == 503
    assert refusal.value.answer.retry_after
    room.give_back(60)
    room.take(100)
