"""The program uses only those parts of libraries that the package contains."""

from tests.support.checkout import ROOT


def test_the_program_does_without_the_random_numbers_of_numpy() -> None:
    assert '"numpy/random"' in (ROOT / "debian/assemble.py").read_text()
    uses = ("np.random", "from numpy.random", "import numpy.random")
    files = (ROOT / "camiohookd").rglob("*.py")
    assert [file.name for file in files if any(each in file.read_text() for each in uses)] == []
