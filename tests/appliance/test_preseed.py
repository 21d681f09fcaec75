"""A fleet installer answers the package's questions in advance; nobody is asked at an installation."""

from camiohookd.config import admin_password
from tests.appliance.appliance import SETTINGS, Appliance
from tests.appliance.conftest import Boot, skip_on_second_release
from tests.appliance.debs import Deb

HASH = str(admin_password.make("the password of all boxes"))
ANSWERS = f"""camiohookd camiohookd/public-url string https://box.example.org
camiohookd camiohookd/admin-password-hash string {HASH}
"""


def test_the_answers_are_in_the_files_of_the_owner_and_the_hash_is_not_kept_elsewhere(
    release: str, boot: Boot, deb: Deb, long_run: bool
) -> None:
    skip_on_second_release(release, long_run, "answers given in advance")
    with boot(release) as machine:
        appliance = Appliance(machine)
        machine.run("debconf-set-selections", stdin=ANSWERS)
        said = appliance.install(deb.path)
        assert 'public_url = "https://box.example.org"' in machine.path(SETTINGS).read_text(), said
        password = machine.path("/etc/camiohookd/admin-password")
        assert password.read_text() == f"{HASH}\n"
        assert password.stat().st_mode & 0o777 == 0o640
        assert appliance.service["ActiveState"] == "active", appliance.log()
        assert HASH not in machine.path("/var/cache/debconf/config.dat").read_text()
        # What the owner changes afterwards stays.
        machine.path(SETTINGS).write_text(machine.path(SETTINGS).read_text().replace("box.example", "my.example"))
        machine.run("dpkg-reconfigure", "--frontend=noninteractive", "camiohookd")
        assert "my.example" in machine.path(SETTINGS).read_text()
        machine.run("apt-get", "purge", "--yes", "camiohookd")
        assert "camiohookd" not in machine.path("/var/cache/debconf/config.dat").read_text()


def test_wrong_answers_are_reported_and_the_box_is_installed_nevertheless(
    release: str, boot: Boot, deb: Deb, long_run: bool
) -> None:
    skip_on_second_release(release, long_run, "wrong answers given in advance")
    with boot(release) as machine:
        appliance = Appliance(machine)
        wrong = ANSWERS.replace("https://box.example.org", "not a URL").replace(HASH, "my password")
        machine.run("debconf-set-selections", stdin=wrong)
        said = appliance.install(deb.path)
        assert "camiohookd/admin-password-hash is not used" in said
        assert "camiohookd/public-url is not used" in said
        assert "my password" not in said
        assert appliance.service["ActiveState"] == "active", appliance.log()
