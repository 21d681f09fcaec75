"""What all tests share: the option ``--long``."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that are bounded otherwise in full")


@pytest.fixture(scope="session")
def long_run(request: pytest.FixtureRequest) -> bool:
    """Whether the whole of a long test is asked for."""
    return bool(request.config.getoption("--long"))
