import contextlib
from operator import attrgetter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.config import paths
from camiohookd.config.load import SECTIONS, Config, load_config, load_with_keys
from camiohookd.config.rule import Rule
from camiohookd.config.tables import settings_of, variable
from camiohookd.errors import ConfigError

KEY = "a-key-of-decent-length"


def load(tmp_path: Path, text: str, **environ: str) -> Config:
    path = tmp_path / "camiohookd.toml"
    path.write_text(text)
    return load_config(path, environ)


def refusal(tmp_path: Path, text: str = "", **environ: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text, **environ)
    return str(refused.value).removeprefix(str(tmp_path / "camiohookd.toml"))


@pytest.fixture
def no_default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "DEFAULT_CONFIG_DIR", tmp_path / "not-there")


@pytest.mark.usefixtures("no_default_file")
def test_without_a_file_everything_has_its_default() -> None:
    settings = load_config(None, {})
    assert settings == Config()
    assert settings.hook.listen == "0.0.0.0:8000"
    assert settings.hook.max_body_bytes == 33_554_432
    assert settings.queue.max_age == 14 * 86400.0
    assert settings.queue.min_free_bytes == 200_000_000
    assert settings.callback.allow_hosts == ("camio.com", "*.camio.com")
    assert settings.admin.listen == "127.0.0.1:8001"
    assert settings.rule == ()


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: there is no such file"):
        load_config(tmp_path / "nowhere.toml", {})


def test_refuses_a_folder_as_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path, {})


def test_reads_the_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        [queue]
        max_tasks = 5
        max_age = "2h"
        [images]
        formats = ["jpeg", "png"]
        [[rule]]
        camera = "front*"
        min_probability = 0.7
        labels = ["person"]
        [[rule]]
        labels_format = "event"
        """,
    )
    assert settings.queue.max_tasks == 5
    assert settings.queue.max_age == 7200.0
    assert settings.images.formats == ("jpeg", "png")
    assert settings.rule == (Rule("front*", min_probability=0.7, labels=("person",)), Rule(labels_format="event"))


def test_settings_are_immutable() -> None:
    with pytest.raises(AttributeError):
        Config().hook.listen = "x"  # type: ignore[misc,assignment]  # what the test is about


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[queue]\n\nmax_tasks = 'x'", ', line 3: queue.max_tasks: given "x", expected a whole number, 1 or more'),
        ("[queue]\nmax_tasks = 0", ", line 2: queue.max_tasks: given 0, expected a whole number, 1 or more"),
        ("[queue]\nmax_tasks = true", ", line 2: queue.max_tasks: given true, expected a whole number, 1 or more"),
        ("[queue]\norder = 'random'", ', line 2: queue.order: given "random", expected "newest" or "oldest"'),
        (
            "[labeler]\nthreads = -1",
            ', line 2: labeler.threads: given -1, expected a whole number from 1 to 256 or "auto"',
        ),
        ("[hook]\nlissten = '0.0.0.0:1'", ", line 2: hook.lissten: unknown setting; did you mean listen?"),
        ("[hoook]", ", line 1: hoook: unknown section; did you mean hook?"),
        ("listen = 1", ", line 1: listen: listen belongs under [hook] or [admin]; move this line there"),
        ("hook = 1", ", line 1: hook: expected a table, written [hook]"),
        ("[rule]", ", line 1: rule: expected an array of tables, written [[rule]]"),
        ("rule = [1]", ", line 1: rule: expected a table, written [[rule]]"),
        ("[[rule]]\n[[rule]]\ncamera = 1", ", line 3: rule.camera: given 1, expected text"),
        ("[[rule]]\nmin_probability = 2", ", line 2: rule.min_probability: given 2, expected a number from 0 to 1"),
        (
            "[[rule]]\nmin_probability_of = {cat = 2}",
            ', line 2: rule.min_probability_of: given {"cat": 2}, expected a tab',
        ),
        ("[[rule]]\n[rule.zone]", ", line 2: rule.zone: expected an array of tables, written [[rule.zone]]"),
        ("[[rule]]\n[[rule.zone]]\nname = 'a'", ", line 2: rule.zone: polygon is missing, a list of 3 or more, each"),
        (
            "[[rule]]\n[[rule]]\n[[rule.zone]]\nname = 'a'\npolygon = [[0, 0], [1, 0]]",
            ", line 5: rule.zone.polygon: given [[0, 0], [1, 0]], expected a list of 3 or more, each",
        ),
        (
            "[[rule]]\nzone = [{name = 'a', polygon = [[0, 0], [1, 0], [1, 2]]}]",
            ": rule.zone.polygon: given [[0, 0], [1, 0], [1, 2]], expected a list of 3",
        ),
        (
            "[[rule]]\n[[rule.zone]]\npolygo = []",
            ", line 3: rule.zone.polygo: unknown setting; did you mean pol",
        ),
        (
            "[[rule]]\n[[rule]]\nfloor = 1",
            ', line 3: rule.floor: unknown setting; "camiohookd example-config"',
        ),
        ("[images]\nformats = []", ', line 2: images.formats: given [], expected a list of one or more, each "jpeg"'),
        ("[images]\nformats = ['gif']", ', line 2: images.formats: given ["gif"], expected a list of one or more'),
        ("[callback]\nallow_hosts = ['a/b']", ', line 2: callback.allow_hosts: given ["a/b"], expected a list of any'),
        ("[callback]\ntimeout = '30 m'", ', line 2: callback.timeout: given "30 m", expected a number of seconds'),
        ("[admin]\nlisten = 8001", ", line 2: admin.listen: given 8001, expected host:port, such as"),
        (
            "[queue]\nmax_bytes = 1979-05-27",
            ', line 2: queue.max_bytes: given "1979-05-27", expected a number of bytes',
        ),
        ("[queue]\n[hook]\n[queue]", ", line 3: duplicate table [queue] (first defined in line 1)"),
        ("listen = 1\nlisten = 2", ", line 2: duplicate key listen (first defined in line 1)"),
        (
            "[queue]\norder = 'newest'\n[[rule]]\ncamera = 'a'\n[[rule]]\ncamera = 'b'\ncamera = 'c'",
            ", line 7: duplicate key rule.camera (first defined in line 6)",
        ),
        (
            "[labeler]\n[[labeler]]",
            ", line 2: [labeler] and [[labeler]] cannot both be used (the other is in line 1): "
            "for several, write [[labeler]] each time",
        ),
        (
            "[[labeler]]\n[labeler]\n",
            ", line 2: [labeler] and [[labeler]] cannot both be used (the other is in line 1)",
        ),
        ("[queue]\norder.x = 1\norder.x = 2", ", line 3: not valid TOML: cannot overwrite a value"),
        ("[labeler]\nmodel = ''", ', line 2: labeler.model: given "", expected text that is not empty'),
        (
            "[queue\n",
            ", line 1: not valid TOML: expected ']' at the end of a table declaration\n    [queue\n",
        ),
        ("[callback]\nretry_min = '1h'", ": callback.retry_min is longer than callback.retry_max"),
        ("[admin]\nlisten = '0.0.0.0:8000'", ": hook.listen and admin.listen have the same port"),
    ],
)
def test_an_error_names_file_line_key_given_and_expected_value(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[[rule]]\ncamera = front",
            ', line 2: not valid TOML: text needs quotation marks: write camera = "front"\n    camera = front\n'
            "             ^",
        ),
        (
            "[hook]\nlisten = 0.0.0.0:8000",
            'text needs quotation marks: write listen = "0.0.0.0:8000"',
        ),
        (
            "[labeler]\nspinning = True",
            "true and false are written in small letters: write spinning = true",
        ),
        ("[labeler]\nspinning = no", "write spinning = false"),
        ("[[rule]]\ncamera = \u201cfront\u201d", 'typographic quotation marks: write camera = "front"'),
        ("[[rule]]\nlabels = [\u201eperson\u201c, \u2018dog\u2019]", 'write labels = ["person", "dog"]'),
        ("[[rule]]\nlabels = [person, 'dog']", "write labels = [\"person\", 'dog']"),
        ('[[rule]]\ncamera = "front', 'the closing quotation mark is missing: write camera = "front"'),
        ('[labeler]\nmodel = "C:\\Users\\me"', "single quotation marks: write model = 'C:\\Users\\me'"),
        ('[[rule]]\ncamera: "front"', 'a setting has an equals sign: write camera = "front"'),
        ('[[rule]]\ncamera\xa0= "front"', 'special space, perhaps copied from a web page: write camera = "front"'),
        ("[[rule]]\nmin_probability = 0,5", "line 2: not valid TOML: "),
    ],
)
def test_a_toml_error_shows_the_line_and_what_to_write(tmp_path: Path, text: str, message: str) -> None:
    for line_ends in ("\n", "\r\n"):
        path = tmp_path / "camiohookd.toml"
        path.write_bytes(text.replace("\n", line_ends).encode())
        with pytest.raises(ConfigError) as refused:
            load_config(path, {})
        assert message in str(refused.value)


def test_reads_a_file_from_windows_notepad(tmp_path: Path) -> None:
    path = tmp_path / "camiohookd.toml"
    path.write_bytes(b'\xef\xbb\xbf[hook]\r\napi_keys_file = "' + str(tmp_path / "keys").encode() + b'"\r\n')
    (tmp_path / "keys").write_bytes(b"\xef\xbb\xbfcamio k-123456\r\n")
    assert load_with_keys(path, {})[1] == {"camio": "k-123456"}
    path.write_bytes("[hook]\n".encode("utf-16"))
    with pytest.raises(ConfigError, match="is UTF-16 text; save it as UTF-8"):
        load_config(path, {})


@pytest.mark.parametrize("section", ["[log]", "[queue]\nmax_tasks = 5", "[[rule]]\ncamera = 'front'"])
def test_names_the_section_of_a_setting_that_was_put_at_the_end_of_the_file(tmp_path: Path, section: str) -> None:
    refused = refusal(tmp_path, f"{section}\napi_key = '{KEY}'\n")
    assert "api_key belongs under [hook]; move this line there" in refused
    assert KEY not in refused


def test_shortens_a_long_value_in_the_error(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, f"[queue]\nmax_tasks = '{'x' * 5000}'")) < 250


def test_names_the_line_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "camiohookd.toml"
    path.write_bytes(b"[hook]\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"camiohookd\.toml, line 2: not UTF-8 text"):
        load_config(path, {})


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_file_is_loaded_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError):
        assert isinstance(load_config(path, {}), Config)


def test_the_environment_overrides_every_setting_of_the_file(tmp_path: Path) -> None:
    values = {
        ("hook", "listen"): ("127.0.0.1:1234", "127.0.0.1:1234"),
        ("hook", "public_url"): ("https://hook.example.org/", "https://hook.example.org"),
        ("hook", "query"): ("camera == 'front'", "camera == 'front'"),
        ("hook", "api_key"): (KEY, KEY),
        ("hook", "api_keys_file"): ("/etc/keys", "/etc/keys"),
        ("hook", "tls_cert"): ("/etc/cert.pem", "/etc/cert.pem"),
        ("hook", "tls_key"): ("/etc/key.pem", "/etc/key.pem"),
        ("hook", "trusted_proxies"): ('["192.168.1.2", "fd00::/8"]', ("192.168.1.2/32", "fd00::/8")),
        ("queue", "order"): ("newest", "newest"),
        ("queue", "fair"): ("false", False),
        ("labeler", "kind"): ("onnx", "onnx"),
        ("labeler", "model"): ("other", "other"),
        ("labeler", "detail"): ("3x3", "3x3"),
        ("labeler", "static"): ("drop", "drop"),
        ("labeler", "static_labels"): ('["person", "car"]', ("person", "car")),
        ("labeler", "device"): ("cpu", "cpu"),
        ("labeler", "plugins"): ('["/opt/ep.so"]', ("/opt/ep.so",)),
        ("labeler", "spinning"): ("true", True),
        ("labeler", "script"): ("/etc/labels.py", "/etc/labels.py"),
        ("labeler", "interpreter"): ("/usr/bin/python3", "/usr/bin/python3"),
        ("labeler", "command"): ('["/opt/labels", "-v"]', ("/opt/labels", "-v")),
        ("labeler.remote", "endpoints"): ('["https://gpu.lan/a/"]', ("https://gpu.lan:443/a",)),
        ("labeler.remote", "model_name"): ("ssd", "ssd"),
        ("labeler.remote", "model_version"): ("3", "3"),
        ("labeler.remote", "sends"): ("jpeg", "jpeg"),
        ("labeler.remote", "batch"): ("7", 7),
        ("labeler.remote", "concurrency"): ("7", 7),
        ("labeler.remote", "retries"): ("7", 7),
        ("labeler.remote", "ca"): ("certifi", "certifi"),
        ("labeler.remote", "client_cert"): ("/etc/cert.pem", "/etc/cert.pem"),
        ("labeler.remote", "client_key"): ("/etc/key.pem", "/etc/key.pem"),
        ("labeler.remote", "token_file"): ("/etc/token", "/etc/token"),
        ("labeler.spill", "prefer"): ("remote", "remote"),
        ("labeler", "name"): ("people", "people"),
        ("labeler", "cameras"): ('["front*"]', ("front*",)),
        ("labeler", "required"): ("false", False),
        ("labeler", "on"): ("[]", ()),
        ("images", "formats"): ('["png", "webp"]', ("png", "webp")),
        ("callback", "allow_hosts"): ('["http://127.0.0.1:9"]', ("http://127.0.0.1:9",)),
        ("callback", "ca"): ("certifi", "certifi"),
        ("admin", "listen"): ("[::1]:99", "[::1]:99"),
        ("admin", "tls_cert"): ("/etc/cert.pem", "/etc/cert.pem"),
        ("admin", "tls_key"): ("/etc/key.pem", "/etc/key.pem"),
        ("admin", "hosts"): ('["Box.local"]', ("box.local",)),
        ("admin", "insecure"): ("true", True),
        ("mqtt", "host"): ("broker.lan", "broker.lan"),
        ("mqtt", "tls"): ("true", True),
        ("mqtt", "ca"): ("/etc/ca.pem", "/etc/ca.pem"),
        ("mqtt", "username"): ("box", "box"),
        ("mqtt", "password_file"): ("/etc/password", "/etc/password"),
        ("mqtt", "topic"): ("cams", "cams"),
        ("mqtt", "discovery"): ("ha", "ha"),
        ("mqtt", "pictures"): ("true", True),
        ("notify", "command"): ('["/bin/mail", "me"]', ("/bin/mail", "me")),
        ("notify", "webhook"): ("http://10.0.0.1:9/a?b", "http://10.0.0.1:9/a?b"),
        ("log", "level"): ("debug", "debug"),
        ("log", "format"): ("json", "json"),
    }
    for section, kind in SECTIONS.items():
        for key in settings_of(kind):
            text, value = values.get((section, key), ("77", 77))
            settings = load(tmp_path, "[queue]\nmax_age = 1", **{variable(section, key): text})
            assert attrgetter(f"{section}.{key}")(settings) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("QUEUE_MAX_TASKS", "many", 'given "many", expected a whole number, 1 or more'),
        ("CALLBACK_ALLOW_HOSTS", "a.b", 'given "a.b", expected a list of any length'),
        ("CALLBACK_ALLOW_HOSTS", '"a.b"', "expected a list of any length"),
        ("IMAGES_FORMATS", '["gif"]', 'each "jpeg", "png" or "webp", as JSON'),
        ("HOOK_LISEN", "x", "unknown setting; did you mean CAMIOHOOKD_HOOK_LISTEN?"),
        ("RULE", "[]", "rules can only be set in the file, each as a [[rule]]"),
        ("RULE_CAMERA", "front", "rules can only be set in the file, each as a [[rule]]"),
        ("LABELER_MODEL", "", 'given "", expected text that is not empty'),
    ],
)
def test_an_error_in_the_environment_names_the_variable(tmp_path: Path, name: str, text: str, message: str) -> None:
    refused = refusal(tmp_path, **{f"CAMIOHOOKD_{name}": text})
    assert refused.startswith(f"CAMIOHOOKD_{name} (in the environment): ")
    assert message in refused


def test_ignores_variables_of_other_programs(tmp_path: Path) -> None:
    assert load(tmp_path, "", HOME="/", _CAMIOHOOKD_COMPLETE="bash_source", CAMIO_OAUTH_TOKEN="t") == Config()


@pytest.mark.parametrize(
    "text",
    [
        f'[hook]\napi_key = ["{KEY}"]',
        f'[hook]\napi_kee = "{KEY}"',
        f'api_key = "{KEY}"',
        f'[hok]\napi_key = "{KEY}"',
        f'[hook]\napi_key = "{KEY}',
        f"[hook]\napi_key = {KEY}",
        f'[hook]\napi_key = "{KEY}"\napi_key = "{KEY}"',
        f'[hook]\napi_key = """\n{KEY}',
        f"[hook]\napi_key =\n{KEY}",
        f"[hook]\napi_key = \u201c{KEY}\u201d",
        f"hook = {{ api_key = {KEY} }}",
        f'[hook]\napi_key = "{KEY}"\n[queue]\nmax_tasks = 0',
    ],
)
def test_no_error_shows_the_key(tmp_path: Path, text: str) -> None:
    assert KEY not in refusal(tmp_path, text)


def test_the_repr_of_the_configuration_hides_the_key(tmp_path: Path) -> None:
    assert KEY not in repr(load(tmp_path, f'[hook]\napi_key = "{KEY}"'))


def keys(tmp_path: Path, text: str = "", file: str | bytes | None = None, **environ: str) -> dict[str, str]:
    if file is not None:
        (tmp_path / "api-keys").write_bytes(file if isinstance(file, bytes) else file.encode())
        text += f'\n[hook]\napi_keys_file = "{tmp_path / "api-keys"}"'
    (tmp_path / "camiohookd.toml").write_text(text)
    return load_with_keys(tmp_path / "camiohookd.toml", environ)[1]


def test_without_a_key_the_error_names_the_file_and_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        keys(tmp_path)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path}/camiohookd.toml: hook.api_key is not set")
    assert "/etc/" not in message
    assert "openssl rand -hex 24" in message
    assert "CAMIOHOOKD_HOOK_API_KEY" in message


def test_names_the_key_of_the_configuration_default(tmp_path: Path) -> None:
    assert keys(tmp_path, f'[hook]\napi_key = "{KEY}"') == {"default": KEY}


def test_keys_in_the_file_have_their_names(tmp_path: Path) -> None:
    assert keys(tmp_path, file="# ours\n\nfront  k-123456\n\told k.~_7890  # until May\n") == {
        "front": "k-123456",
        "old": "k.~_7890",
    }


@pytest.mark.parametrize("key", ["short12", "with/slash", "percent%20", "space space", "ümlautkey", "x" * 257])
def test_refuses_a_key_that_does_not_fit_a_url_and_names_its_place_without_showing_it(tmp_path: Path, key: str) -> None:
    what = "given a value (not shown), expected 8 to 256 letters, digits or -._~"
    assert refusal(tmp_path, f'[hook]\napi_key = "{key}"') == f", line 2: hook.api_key: {what}"
    in_environment = refusal(tmp_path, CAMIOHOOKD_HOOK_API_KEY=key)
    assert in_environment == f"CAMIOHOOKD_HOOK_API_KEY (in the environment): {what}"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (f"{KEY}\n", "line 1: expected a name, a space and the key"),
        (f"a b {KEY}\n", "line 1: expected a name, a space and the key"),
        (f"\nfront {KEY}/\n", "line 2: the key is not usable"),
        (f"a {KEY}\na {KEY}2\n", 'line 2: duplicate key name "a" (first defined in line 1)'),
        (b"a \xff\n", "not UTF-8 text"),
        ("# none\n", "hook.api_key is not set"),
    ],
)
def test_reports_the_line_of_a_malformed_key_file_without_showing_the_key(
    tmp_path: Path, file: str | bytes, message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        keys(tmp_path, file=file)
    assert message in str(refused.value)
    assert KEY not in str(refused.value)


def test_a_missing_key_file_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    missing = f"{tmp_path}/no-keys"
    with pytest.raises(ConfigError) as in_file:
        keys(tmp_path, f'[hook]\napi_keys_file = "{missing}"')
    what = f"{missing}: cannot be read: No such file or directory"
    assert str(in_file.value) == f"{tmp_path}/camiohookd.toml, line 2: hook.api_keys_file: {what}"
    with pytest.raises(ConfigError) as in_environment:
        keys(tmp_path, CAMIOHOOKD_HOOK_API_KEYS_FILE=missing)
    assert str(in_environment.value) == f"CAMIOHOOKD_HOOK_API_KEYS_FILE (in the environment): {what}"


def test_the_default_key_file_is_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "api-keys").write_text("camio k-123456\n")
    assert keys(tmp_path) == {"camio": "k-123456"}
    assert keys(tmp_path, f'[hook]\napi_key = "{KEY}"') == {"default": KEY, "camio": "k-123456"}


def test_refuses_two_keys_with_one_name(tmp_path: Path) -> None:
    (tmp_path / "api-keys").write_text("default k-123456\n")
    with pytest.raises(ConfigError, match='duplicate key name "default": it is the name of hook'):
        keys(tmp_path, f'[hook]\napi_key = "{KEY}"')


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
def test_the_status_pages_listen_on_the_loopback(tmp_path: Path, host: str) -> None:
    assert load(tmp_path, f'[admin]\nlisten = "{host}:8001"').admin.listen == f"{host}:8001"


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "[::]", "192.168.1.2", "[fd00::1]", "box.example.org", "127.0.0.1.evil.org"]
)
def test_status_pages_for_other_machines_need_a_certificate_or_consent(tmp_path: Path, host: str) -> None:
    listen = f'[admin]\nlisten = "{host}:8001"\n'
    assert "would send the password by plain http" in refusal(tmp_path, listen)
    assert load(tmp_path, f"{listen}insecure = true").admin.insecure
    assert load(tmp_path, f'{listen}tls_cert = "cert.pem"').admin.tls_cert == "cert.pem"


def test_uses_the_folders_that_systemd_names() -> None:
    given = {"STATE_DIRECTORY": "/s", "RUNTIME_DIRECTORY": "/r"}
    assert (paths.state_dir(given), paths.runtime_dir(given)) == (Path("/s"), Path("/r"))
    assert paths.runtime_dir({"STATE_DIRECTORY": "/s"}) == Path("/s")
    assert paths.state_dir({}) == Path("/var/lib/camiohookd")
    assert paths.config_file({"CONFIGURATION_DIRECTORY": "/c"}) == Path("/c/camiohookd.toml")
    assert paths.config_file({}) == Path("/etc/camiohookd/camiohookd.toml")


def test_a_command_outside_the_service_uses_the_services_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "DEFAULT_RUNTIME_DIR", tmp_path / "run")
    assert paths.runtime_dir({}) == paths.state_dir({})
    (tmp_path / "run").mkdir()
    assert paths.runtime_dir({}) == tmp_path / "run"
    assert paths.runtime_dir({"STATE_DIRECTORY": "/s"}) == Path("/s")


def test_reads_the_file_in_the_folder_that_systemd_names_by_default(tmp_path: Path) -> None:
    (tmp_path / "camiohookd.toml").write_text("[queue]\nmax_tasks = 5\n")
    assert load_config(None, {"CONFIGURATION_DIRECTORY": str(tmp_path)}).queue.max_tasks == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[labeler.remote]\nendpoints = ["gpu.lan"]',
            'line 2: labeler.remote.endpoints: given ["gpu.lan"], expected a list',
        ),
        ('[labeler.remote]\nendpoints = ["http://gpu.lan/v2/"]', "a URL that ends before /v2"),
        ("[labeler.remote]\nbatch = 0", "labeler.remote.batch: given 0, expected a whole number from 1 to 16"),
        ("[labeler]\nremote = 3", "line 2: labeler.remote: expected a table, written [labeler.remote]"),
        ("[labeler.spil]\nafter = 3", "labeler.spil: unknown setting; did you mean spill?"),
        ('[labeler]\nkind = "remote"', 'labeler.kind is "remote", and there are no endpoints under [labeler.remote]'),
        (
            '[labeler.remote]\nendpoints = ["http://gpu.lan"]\ntoken_file = "/etc/token"',
            "labeler.remote.token_file: the token would be sent by plain http; use https:// endpoints",
        ),
    ],
)
def test_a_mistake_in_a_table_within_a_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_a_table_within_a_table_is_read_from_the_file_and_the_environment(tmp_path: Path) -> None:
    text = '[labeler.remote]\nendpoints = ["http://10.0.0.1:8000"]\nbatch = 4\n[labeler.spill]\nafter = "5s"\n'
    labeler = load(tmp_path, text, CAMIOHOOKD_LABELER_REMOTE_BATCH="8").labeler
    assert (labeler.kind, labeler.remote.endpoints, labeler.remote.batch) == ("onnx", ("http://10.0.0.1:8000",), 8)
    assert (labeler.spill.after, labeler.spill.prefer) == (5.0, "home")


def test_several_labelers_are_read_in_their_order(tmp_path: Path) -> None:
    text = """
        [[labeler]]
        device = "cpu"

        [[labeler]]
        kind = "python"
        script = "/etc/plates.py"
        name = "plates"
        on = ["car", "truck"]
        cameras = ["drive*"]

        [[labeler]]
        kind = "command"
        command = ["/opt/labels", "-v"]
        required = true
    """
    first, plates, command = load(tmp_path, text).labelers
    assert (first.title, first.required, first.device) == ("ssdlite-mobilenet-v2-coco", True, "cpu")
    assert (plates.title, plates.required, plates.on) == ("plates", False, ("car", "truck"))
    assert plates.cameras == ("drive*",)
    assert (command.title, command.required) == ("labels", True)


def test_one_labeler_may_be_written_either_way(tmp_path: Path) -> None:
    assert load(tmp_path, "[[labeler]]\ndevice = 'cpu'") == load(tmp_path, "[labeler]\ndevice = 'cpu'")
    assert load(tmp_path, "[[labeler]]", CAMIOHOOKD_LABELER_DEVICE="gpu").labeler.device == "gpu"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[labeler]]\n[[labeler]]\ndevise = 'cpu'", ", line 3: labeler.devise: unknown setting; did you mean device?"),
        ("[labeler]\non = ['car']", ", line 2: labeler.on: no labeler comes before this one"),
        ("[[labeler]]\n[[labeler]]", ', line 2: labeler: labelers 1 and 2 are both named "ssdlite-mobilenet-v2-coco"'),
        ("labeler = []", ", line 1: labeler: the list is empty; write each labeler as a [[labeler]]"),
        ("labeler = [3]", "expected a table, written [[labeler]]"),
    ],
)
def test_an_error_in_one_of_several_labelers_says_where_it_is(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_variables_of_the_labeler_are_refused_where_there_are_several(tmp_path: Path) -> None:
    two = "[[labeler]]\n[[labeler]]\nname = 'second'"
    refused = refusal(tmp_path, two, CAMIOHOOKD_LABELER_DEVICE="cpu")
    assert refused.startswith("CAMIOHOOKD_LABELER_DEVICE (in the environment): ")
    assert "has 2 labelers, and a variable does not say which one it is for; write device in its own table" in refused
