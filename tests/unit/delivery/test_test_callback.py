"""The origin to which the owner's `doctor` command may have labels sent for a short time."""

import pytest

from camiohookd.delivery.allow_list import AllowList
from camiohookd.errors import CallbackNotAllowed, PrivateCallback

TEST = "http://127.0.0.1:9000"


def test_allows_only_that_origin() -> None:
    allowed = AllowList(["camio.com"])
    with pytest.raises(PrivateCallback):
        allowed.check(f"{TEST}/callback")
    allowed.allow_for_a_test(TEST, 60.0)
    assert allowed.check(f"{TEST}/callback").any_address
    allowed.refuse_private(f"{TEST}/callback")
    for other in ("http://127.0.0.1:9001/", "https://127.0.0.1:9000/", "http://localhost:9000/"):
        with pytest.raises(PrivateCallback):
            allowed.check(other)


def test_expires() -> None:
    allowed = AllowList(["camio.com"])
    allowed.allow_for_a_test(TEST, 0.0)
    with pytest.raises(PrivateCallback):
        allowed.check(TEST)


def test_a_reload_does_not_end_it() -> None:
    allowed = AllowList(["camio.com"])
    allowed.allow_for_a_test(TEST, 60.0)
    allowed.replace(["example.org"])
    assert allowed.check(TEST).any_address


@pytest.mark.parametrize("origin", ["http://192.168.1.2:9000", "https://camio.com", "http://example.org", "nonsense"])
def test_refuses_another_machine(origin: str) -> None:
    with pytest.raises(CallbackNotAllowed):
        AllowList(["camio.com"]).allow_for_a_test(origin, 60.0)
