"""Who gets into the private listener: host names, the password, tries, programs with Basic authentication."""

import asyncio
from base64 import b64encode

import pytest

from camiohookd.config import admin_password
from camiohookd.config.admin_password import PasswordHash
from camiohookd.web.access import Access
from camiohookd.web.keys import WrongKeyLimiter
from camiohookd.web.server.error_responses import Refused
from camiohookd.web.server.peers import Peer

PASSWORD = "correct horse"
PHONE, OTHER, HERE = Peer("192.0.2.7", "192.0.2.7"), Peer("192.0.2.8", "192.0.2.8"), Peer("127.0.0.1", None)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def password() -> PasswordHash:
    return admin_password.make(PASSWORD)


def refusal(access: Access, offered: str, peer: Peer = PHONE) -> int:
    """Return the status with which a password is refused, 0 if it is right."""
    try:
        asyncio.run(access.check(offered, peer))
    except Refused as error:
        return error.response.status
    return 0


def program(access: Access, authorization: str = "", peer: Peer = PHONE, *, forwarded: bool = False) -> int:
    """Return the status with which a program is refused, 0 if it is let in."""
    try:
        asyncio.run(access.check_program(authorization, "", peer, is_forwarded=forwarded))
    except Refused as error:
        return error.response.status
    return 0


def basic(credentials: str) -> str:
    return f"Basic {b64encode(credentials.encode()).decode()}"


def test_only_the_password_is_right(password: PasswordHash) -> None:
    access = Access(password)
    assert refusal(access, "wrong") == 403
    assert refusal(access, "") == 403
    assert refusal(access, PASSWORD * 1000) == 403
    assert refusal(access, PASSWORD) == 0
    assert refusal(access, PASSWORD) == 0
    assert refusal(access, "wrong") == 403


@pytest.mark.parametrize("peer", [PHONE, HERE], ids=["another machine", "a tunnel or proxy on this machine"])
def test_many_wrong_passwords_make_a_client_wait_even_with_the_right_one(password: PasswordHash, peer: Peer) -> None:
    clock = Clock()
    access = Access(password, limiter=WrongKeyLimiter(3, clock=clock))
    assert [refusal(access, "wrong", peer) for _ in range(4)] == [403, 403, 403, 429]
    assert refusal(access, PASSWORD, peer) == 429
    assert refusal(access, PASSWORD, OTHER) == 0
    access = Access(password, limiter=access._limiter)  # which has not seen the right one
    clock.now += 1
    assert refusal(access, PASSWORD, peer) == 0


def test_passwords_that_come_at_once_are_bounded(password: PasswordHash) -> None:
    access = Access(password)

    async def many() -> list[int]:
        async def one() -> int:
            try:
                await access.check("wrong", OTHER)
            except Refused as error:
                return error.response.status
            return 0

        return await asyncio.gather(*(one() for _ in range(8)))

    assert sorted(asyncio.run(many())) == [403] * 4 + [503] * 4


def test_another_password_ends_all_sessions(password: PasswordHash) -> None:
    access = Access(password)
    session = access.sessions.begin()
    assert refusal(access, PASSWORD) == 0
    access.use(password, (), is_secure=True)
    assert access.is_logged_in(session)
    access.use(admin_password.make("another one"), (), is_secure=True)
    assert not access.is_logged_in(session)
    assert refusal(access, PASSWORD) == 403


def test_without_a_password_every_client_may_use_it() -> None:
    access = Access()
    assert access.is_logged_in("")
    assert refusal(access, "anything") == 0
    assert program(access) == 0


def test_programs_of_this_machine_need_no_password(password: PasswordHash) -> None:
    access = Access(password)
    assert program(access, peer=HERE) == 0
    assert program(access, peer=HERE, forwarded=True) == 401


@pytest.mark.parametrize("authorization", ["", "Bearer x", "Basic", "Basic !", "Basic /w==", basic(PASSWORD)])
def test_programs_of_other_machines_are_asked_for_the_password(password: PasswordHash, authorization: str) -> None:
    access = Access(password)
    assert program(access, authorization) in (401, 403)


def test_programs_of_other_machines_get_in_with_basic_authentication(password: PasswordHash) -> None:
    access = Access(password)
    assert program(access, basic(f"prometheus:{PASSWORD}")) == 0
    assert program(access, basic(f":{PASSWORD}").replace("Basic", "basic")) == 0
    assert program(access, basic("prometheus:wrong")) == 403


HOSTS = ("box.local", "*.example.org")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "192.0.2.1", "localhost", "box.local", "a.example.org"])
def test_the_owners_names_and_addresses_are_allowed_hosts(host: str) -> None:
    assert Access(hosts=HOSTS).allows_host(host)


@pytest.mark.parametrize(
    "host", ["", "attacker.example", "example.org", "a.b.example.org", "box.local.attacker.example", "local", ".local"]
)
def test_other_names_are_not_allowed_hosts(host: str) -> None:
    assert not Access(hosts=HOSTS).allows_host(host)
