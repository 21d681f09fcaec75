import base64
import json
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camiohookd.errors import PayloadError
from camiohookd.wire import cut_body
from camiohookd.wire.cut_body import CutBody, cut_pictures
from camiohookd.wire.event import Event, EventLimits, read_event
from camiohookd.wire.reply import Label, Reply, encode_reply
from tests.support.parsed_event import parse_event

URL = "https://camio.com/cb/1"
TIME = "2017-05-05T01:31:13.738647"
DATA = b"\xff\xd8 a picture"


def image(data: bytes = DATA, timestamp: Any = TIME, **fields: Any) -> dict[str, Any]:
    return {"timestamp": timestamp, "image_b64": base64.b64encode(data).decode(), **fields}


def payload(*images: Any, **fields: Any) -> dict[str, Any]:
    return {"callback_url": URL, "images": list(images or [image()]), **fields}


def parse(value: Any) -> Event:
    return parse_event(json.dumps(value).encode())


def refusal(body: bytes) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        parse_event(body)
    return caught.value


def test_parses_every_field_of_an_event() -> None:
    value = payload(image(type="image/jpeg", size=[640, 480]), camera="front", user_id="u1", extra={"a": [1, None]})
    event = parse(value)
    assert (event.callback_url, event.camera, event.user_id) == (URL, "front", "u1")
    assert [(one.timestamp, one.data) for one in event.pictures] == [(TIME, DATA)]
    assert (event.rejected, event.warnings) == ((), ())
    del value["images"][0]["image_b64"]
    assert event.rest == value


def test_the_digest_identifies_the_body() -> None:
    body = json.dumps(payload()).encode()
    assert parse_event(body).digest == parse_event(body).digest
    assert len(parse_event(body).digest) == 32
    assert parse_event(body).digest != parse_event(body + b" ").digest


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xff\xfe{}", "not_json"),
        (b'{"a": "\xff"}', "not_json"),
        (b'{"a": NaN}', "not_json"),
        (b'{"a": 1e999, "b": NaN}', "not_json"),
        (b'{"a": "\\ud800", "b": "\xff"}', "not_json"),
        (b'{"a": 1e999, "b": ' + b"[" * 20_000, "too_deep"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "not_json"),
        (b'{"a": ' + b"[" * 20_000, "too_deep"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"7", "not_an_object"),
    ],
)
def test_refuses_a_body_that_is_not_a_json_object(body: bytes, code: str) -> None:
    error = refusal(body)
    assert (error.code, error.field) == (code, None)
    assert len(error.message) < 200


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"callback_url": None}, "missing", "callback_url"),
        ({"callback_url": 5}, "wrong_type", "callback_url"),
        ({"callback_url": ""}, "malformed_url", "callback_url"),
        ({"callback_url": "file:///etc/passwd"}, "malformed_url", "callback_url"),
        ({"callback_url": "https://user:pw@camio.com/"}, "malformed_url", "callback_url"),
        ({"images": None}, "missing", "images"),
        ({"images": {}}, "wrong_type", "images"),
        ({"images": []}, "empty", "images"),
        ({"images": [image()] * 1001}, "too_many_images", "images"),
        ({"images": [{"timestamp": TIME, "image_b64": "%"}]}, "no_usable_picture", "images[0].image_b64"),
        ({"deep": json.loads("[" * 80 + "]" * 80)}, "too_deep", None),
        ({"large": "x" * 1_000_001}, "too_large", None),
    ],
)
def test_refuses_an_unusable_event_and_names_the_field(fields: dict[str, Any], code: str, field: str | None) -> None:
    error = refusal(json.dumps(payload(**fields)).encode())
    assert (error.code, error.field) == (code, field)
    assert (field or "the event").split("[")[0] in error.message


@pytest.mark.parametrize("field", ["callback_url", "images"])
def test_refuses_an_event_without_a_required_field(field: str) -> None:
    value = payload()
    del value[field]
    error = refusal(json.dumps(value).encode())
    assert (error.code, error.field) == ("missing", field)


def test_the_limit_of_images_can_be_set() -> None:
    body = json.dumps(payload(image(), image())).encode()
    assert len(parse_event(body, EventLimits(max_images=2)).pictures) == 2
    with pytest.raises(PayloadError, match="limit of 1"):
        parse_event(body, EventLimits(max_images=1))


def test_the_limit_of_nesting_can_be_set() -> None:
    body = json.dumps(payload(deep=[[[]]])).encode()
    assert parse_event(body, EventLimits(max_depth=4)).rest["deep"] == [[[]]]
    with pytest.raises(PayloadError, match="deeper than 3 levels"):
        parse_event(body, EventLimits(max_depth=3))


def test_does_not_decode_base64_of_too_many_bytes() -> None:
    for lines in (False, True):
        encode = base64.encodebytes if lines else base64.b64encode
        text = encode(b"x" * 3000).decode().replace("\n", "\r\n")
        body = json.dumps(payload({"timestamp": TIME, "image_b64": text})).encode()
        assert len(parse_event(body, EventLimits(max_picture_bytes=3000)).pictures[0].data) == 3000
        with pytest.raises(PayloadError, match=r"too long: [0-9,]+ characters, allowed are [0-9,]+"):
            parse_event(body, EventLimits(max_picture_bytes=2900))


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        ("text", "images[1]", "a string, not an object"),
        (None, "images[1]", "null, not an object"),
        ({"image_b64": "QUJD"}, "images[1].timestamp", "missing"),
        (image(timestamp=17), "images[1].timestamp", "a number, not a string"),
        (image(timestamp=""), "images[1].timestamp", "empty"),
        (image(timestamp="x" * 201), "images[1].timestamp", "200"),
        (image(timestamp="a\nb"), "images[1].timestamp", "control"),
        (image(timestamp="a\x85b"), "images[1].timestamp", "control"),
        ({"timestamp": TIME}, "images[1].image_b64", "missing"),
        ({"timestamp": TIME, "image_b64": True}, "images[1].image_b64", "true or false, not a string"),
        ({"timestamp": TIME, "image_b64": ""}, "images[1].image_b64", "empty"),
        (image(timestamp="a\ud800b"), "images[1].timestamp", "surrogate pair"),
        ({"timestamp": TIME, "image_b64": "Q"}, "images[1].image_b64", "not base64"),
        ({"timestamp": TIME, "image_b64": "QUJD\ud800"}, "images[1].image_b64", "not base64"),
        ({"timestamp": TIME, "image_b64": "QU%JD"}, "images[1].image_b64", "not base64"),
        ({"timestamp": TIME, "image_b64": "-_+/"}, "images[1].image_b64", "not base64"),
        ({"timestamp": TIME, "image_b64": "QUI=QUJD"}, "images[1].image_b64", "not base64"),
        ({"timestamp": TIME, "image_b64": "QUJ\u00e4"}, "images[1].image_b64", "not base64"),
    ],
)
def test_rejects_only_the_bad_picture_of_an_event(bad: Any, field: str, reason: str) -> None:
    event = parse(payload(image(b"first"), bad, image(b"last")))
    assert [one.data for one in event.pictures] == [b"first", b"last"]
    [rejected] = event.rejected
    assert rejected.field == field
    assert reason in rejected.reason


def test_accepts_base64_in_mime_lines() -> None:
    data = bytes(range(256))
    text = base64.encodebytes(data).decode()
    for folded in (text, text.replace("\n", "\r\n")):
        [picture] = parse(payload(image() | {"image_b64": folded})).pictures
        assert picture.data == data


@pytest.mark.parametrize("text", ["QUI", "QUI=", "QU\nI", "QU\r\nI=\r\n"])
def test_accepts_base64_without_padding(text: str) -> None:
    assert parse(payload(image() | {"image_b64": text})).pictures[0].data == b"AB"


FORMS_OF_BASE64 = {
    "data URL": lambda text: "data:image/jpeg;base64," + text,
    "data URL with parameters": lambda text: "DATA:image/jpeg;name=a.jpg;charset=utf-8;base64," + text,
    "URL-safe": lambda text: text.replace("+", "-").replace("/", "_"),
    "URL-safe without padding": lambda text: text.replace("+", "-").replace("/", "_").rstrip("="),
    "URL-safe in a data URL": lambda text: "data:;base64," + text.replace("+", "-").replace("/", "_"),
    "blanks around it": lambda text: f" \n\t{text}\r\n ",
    "a blank every 76 characters": lambda text: " ".join(text[nth : nth + 76] for nth in range(0, len(text), 76)),
    "lines with indentation": lambda text: "\n    ".join(text[nth : nth + 64] for nth in range(0, len(text), 64)),
    "blanks for pluses": lambda text: text.replace("+", " "),
}


@pytest.mark.parametrize("write", FORMS_OF_BASE64.values(), ids=FORMS_OF_BASE64)
def test_takes_base64_in_every_form_that_senders_use(write: Callable[[str], str]) -> None:
    for length in range(700, 712):
        data = random.Random(length).randbytes(length)
        text = write(base64.b64encode(data).decode())
        assert parse(payload(image() | {"image_b64": text})).pictures[0].data == data


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<html><body>Please log in</body></html>", "an HTML page"),
        ('{"error": "unauthorized"}', "a JSON text"),
        ("https://camera.example/1.jpg", "a web address"),
        ("data:image/svg+xml,%3Csvg/%3E", "a data: URL"),
    ],
)
def test_names_the_kind_of_data_sent_instead_of_base64(text: str, kind: str) -> None:
    [rejected] = parse(payload(image(), image() | {"image_b64": text})).rejected
    assert rejected.reason == f"it is not base64 but {kind}"


def test_lists_a_bounded_number_of_reasons_if_no_picture_can_be_used() -> None:
    error = refusal(json.dumps(payload(*[{"timestamp": TIME, "image_b64": "%"}] * 900)).encode())
    assert error.field == "images[0].image_b64"
    assert "images[1].image_b64: it is not base64" in error.message
    assert error.message.endswith("and 890 more")
    assert len(error.message) < 1000


@pytest.mark.parametrize("timestamp", ["2016-10-09T06:17:36.923-0000", "2017-05-05T01:31:13Z", TIME])
def test_keeps_camios_timestamps_unchanged(timestamp: str) -> None:
    event = parse(payload(image(timestamp=timestamp)))
    assert event.pictures[0].timestamp == timestamp
    assert event.warnings == ()


def test_warns_of_a_timestamp_that_is_not_a_time_and_keeps_it() -> None:
    event = parse(payload(image(timestamp="frame 7 \u2603")))
    assert event.pictures[0].timestamp == "frame 7 \u2603"
    assert event.warnings == ("images[0].timestamp is not an ISO 8601 time; it is used as it is",)


def test_warns_once_of_all_timestamps_that_are_not_times() -> None:
    event = parse(payload(image(), *[image(timestamp=f"frame {nth}") for nth in range(30)]))
    assert [one.timestamp for one in event.pictures] == [TIME, *[f"frame {nth}" for nth in range(30)]]
    assert event.warnings == ("images[1].timestamp and 29 more are not ISO 8601 times; they are used as they are",)


@pytest.mark.parametrize("wrong", [5, ["a"], {"a": 1}, False])
def test_ignores_optional_fields_of_a_wrong_type_with_a_warning(wrong: Any) -> None:
    event = parse(payload(image(type=wrong, size=wrong), camera=wrong, user_id=wrong))
    assert (event.camera, event.user_id) == (None, None)
    assert len(event.pictures) == 1
    fields = {"camera", "user_id", "images[0].type", "images[0].size"}
    assert {warning.split(" ")[0] for warning in event.warnings} == fields
    assert event.rest["camera"] == wrong


@pytest.mark.parametrize("size", [[640], [640, 480, 3], [0, 480], [640.5, 480], [True, 480], "640x480", None])
def test_ignores_a_size_that_is_not_two_integers_with_a_warning(size: Any) -> None:
    assert parse(payload(image(size=size))).warnings == (
        "images[0].size is not [width, height] in pixels; it is ignored",
    )


def test_shortens_a_long_camera_name_with_a_warning() -> None:
    event = parse(payload(camera="c" * 300))
    assert event.camera == "c" * 200
    assert event.rest["camera"] == "c" * 300
    assert event.warnings == ("camera is longer than 200 characters; only those are used",)


def test_the_number_of_warnings_is_bounded() -> None:
    event = parse(payload(*[image(type=1)] * 500))
    assert len(event.warnings) == 11
    assert event.warnings[-1] == "and 491 more"


def test_keeps_pictures_with_the_same_timestamp_and_warns() -> None:
    event = parse(payload(image(b"a"), image(b"b"), image(b"c", timestamp="2017-05-05T01:31:14")))
    assert len(event.pictures) == 3
    assert event.warnings == (
        "1 image has the timestamp of another one; the labels of images with one timestamp are merged",
    )


def test_keeps_a_number_of_more_than_64_bits() -> None:
    event = parse(payload(number=10**22))
    assert msgspec.json.decode(msgspec.json.encode(event.rest))["number"] == 10**22


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("1e999", "1e999"),
        ("-1e999999999999999999999", "-1e999999999999999999999"),
        ("1" * 5000, "1" * 5000),
        (r'"\ud800"', "\ufffd"),
        (r'{"\udc00": ["\ud83d\ude00 \ude00"]}', {"\ufffd": ["\U0001f600 \ufffd"]}),
    ],
)
def test_accepts_odd_values_in_unused_fields(value: str, kept: Any) -> None:
    body = json.dumps(payload(image(size=[1, 2]), camera="front", extra=0)).encode()
    event = parse_event(body.replace(b'"extra": 0', f'"extra": {value}'.encode()))
    assert (event.camera, len(event.pictures)) == ("front", 1)
    assert msgspec.json.decode(msgspec.json.encode(event.rest))["extra"] == kept
    assert [" surrogate pair" in warning for warning in event.warnings] == ["\\u" in value] * ("\\u" in value)


def test_treats_odd_values_in_optional_fields_by_their_type() -> None:
    body = json.dumps(payload(image(size=[1, 2]), camera=0, user_id="\ud800 me")).encode()
    body = body.replace(b'"camera": 0', b'"camera": 1e999').replace(b"[1, 2]", b"[1e999, 2]")
    event = parse_event(body)
    assert (event.camera, event.user_id) == (None, "\ufffd me")
    assert event.warnings[:2] == (
        "images[0].size is not [width, height] in pixels; it is ignored",
        "camera is a number, not a string; it is ignored",
    )
    assert "surrogate pair" in event.warnings[2]


def test_rejects_a_picture_whose_timestamp_cannot_be_sent_back() -> None:
    event = parse(payload(image(timestamp="\ud800"), image()))
    assert [one.timestamp for one in event.pictures] == [TIME]
    assert event.rejected[0].field == "images[0].timestamp"
    assert event.rest["images"][0]["timestamp"] == "\ufffd"


def test_refuses_a_callback_url_with_half_a_surrogate_pair() -> None:
    error = refusal(json.dumps(payload(callback_url=URL + "\ud800")).encode())
    assert (error.code, error.field) == ("malformed_url", "callback_url")


def test_refuses_deep_nesting_around_half_a_surrogate_pair() -> None:
    deep = "[" * 900 + r'"\ud800"' + "]" * 900
    assert refusal(json.dumps(payload(deep=0)).replace('"deep": 0', f'"deep": {deep}').encode()).code == "too_deep"


def test_ignores_a_byte_order_mark() -> None:
    event = parse_event(b"\xef\xbb\xbf" + json.dumps(payload(extra="\ud800")).encode())
    assert event.callback_url == URL


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a": 1', "it ends too early, at byte 7"),
        ('{"ä": "b'.encode(), "it ends too early, at byte 9"),
        (b'{"a": tru', "it ends too early, at byte 9"),
        (b'{"a": 1,, }', "(byte 8)"),
        (b'{"a": 1e999, "\xc3\xa4": }', "(byte 19)"),
        (b"{} {}", "trailing characters (byte 4)"),
        (b'{"a": 1e999, "b": NaN}', "NaN is not a JSON number"),
        (b"\xff\xfe{\0}\0", "it is not UTF-8"),
    ],
)
def test_names_the_position_of_a_json_error(body: bytes, reason: str) -> None:
    message = refusal(body).message
    assert message.startswith("the body is not JSON: ")
    assert reason in message


def test_the_last_of_duplicate_members_counts() -> None:
    body = json.dumps(payload()).encode().replace(b'{"callback_url"', b'{"callback_url": 5, "callback_url"', 1)
    assert parse_event(body).callback_url == URL


# Generating JSON may be slow; that is not the parser's time.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
json_images = json_values | st.fixed_dictionaries(
    {},
    optional={
        "timestamp": st.just(TIME) | json_values,
        "image_b64": st.binary().map(lambda data: base64.b64encode(data).decode()) | json_values,
        "type": json_values,
        "size": json_values,
    },
)
json_payloads = st.fixed_dictionaries(
    {},
    optional={
        "callback_url": st.just(URL) | json_values,
        "images": st.lists(json_images, max_size=4) | json_values,
        "camera": json_values,
        "more": json_values,
    },
)


def parses_or_is_refused(body: bytes) -> None:
    try:
        event = parse_event(body)
    except PayloadError as error:
        assert error.code
        assert error.message
        return
    assert event.pictures
    written = msgspec.json.decode(msgspec.json.encode(event.rest))
    assert written == event.rest
    assert all("image_b64" not in one for one in event.rest["images"] if isinstance(one, dict))


@unhurried
@given(st.binary())
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    parses_or_is_refused(body)


@unhurried
@given(json_payloads)
def test_any_json_is_parsed_or_refused_and_can_be_written_again(value: Any) -> None:
    parses_or_is_refused(json.dumps(value).encode())


@unhurried
@given(st.integers(min_value=0), st.binary(max_size=3), st.integers(0, 3))
def test_any_damaged_event_is_parsed_or_refused(place: int, inserted: bytes, removed: int) -> None:
    body = json.dumps(payload(image(size=[1, 2]), camera="front")).encode()
    place %= len(body)
    parses_or_is_refused(body[:place] + inserted + body[place + removed :])


@unhurried
@given(st.lists(st.tuples(st.binary(min_size=1), st.sampled_from(["good", "folded", "broken"])), max_size=8))
def test_decodes_every_good_picture_byte_for_byte(pictures: list[tuple[bytes, str]]) -> None:
    def picture(nth: int, data: bytes, form: str) -> dict[str, Any]:
        text = base64.encodebytes(data).decode() if form == "folded" else base64.b64encode(data).decode()
        return {"timestamp": str(nth), "image_b64": "*" + text if form == "broken" else text}

    images = [picture(nth, *one) for nth, one in enumerate([*pictures, (DATA, "good")])]
    event = parse(payload(*images))
    good = [(str(nth), data) for nth, (data, form) in enumerate(pictures) if form != "broken"]
    assert [(one.timestamp, one.data) for one in event.pictures] == [*good, (str(len(pictures)), DATA)]
    assert len(event.rejected) == len(images) - len(event.pictures)


@unhurried
@given(json_payloads, st.integers(0, 8), st.booleans())
def test_cutting_texts_out_of_a_body_does_not_change_the_event(value: Any, shortest: int, escapes: bool) -> None:
    """Texts of any length, in images and elsewhere, some escaped, parse as in the whole body."""
    body = json.dumps(value | {"more": {"image_b64": "x" * 9, "y": [{"image_b64": "\u2603 and more"}]}}).encode()
    if escapes:
        body = body.replace(b"/", b"\\/").replace(b"image_b64", b"image\\u005fb64", 1)
    limit = EventLimits().max_json_bytes
    assert outcome(body, shortest) == outcome(body, limit)


def outcome(body: bytes, shortest: int) -> object:
    try:
        return read_event(cut_pictures(body, EventLimits().max_json_bytes, shortest))
    except PayloadError as error:
        return error.code, error.field


def long_text(size: int = 3000) -> str:
    return base64.b64encode(b"x" * size).decode()


def test_a_long_text_outside_the_images_stays_and_counts_as_json() -> None:
    extra = {"image_b64": long_text()}
    event = parse(payload(image(b"y" * 3000), extra=extra))
    assert event.pictures[0].data == b"y" * 3000
    assert event.rest["extra"] == extra
    assert refusal(json.dumps(payload(extra={"image_b64": long_text(400_000)})).encode()).code == "too_large"


def test_the_last_of_two_texts_of_an_image_counts() -> None:
    first, last = (json.dumps({"image_b64": base64.b64encode(data * 3000).decode()})[1:-1] for data in (b"a", b"b"))
    body = json.dumps(payload({"timestamp": TIME, "x": 1})).encode().replace(b'"x": 1', f"{first}, {last}".encode())
    assert parse_event(body).pictures[0].data == b"b" * 3000


@pytest.mark.parametrize(
    ("form", "length"),
    [
        (lambda text: text, 3000),
        (lambda text: text.replace("/", r"\/"), 3000),
        (lambda text: r"\r\n".join(text[at : at + 76] for at in range(0, len(text), 76)), 3000),
        (lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text), 3000),
    ],
)
def test_accepts_json_escapes_in_a_picture(form: Callable[[str], str], length: int) -> None:
    data = bytes(range(256)) * 12
    text = form(base64.b64encode(data[:length]).decode())
    body = json.dumps(payload({"timestamp": TIME, "image_b64": "?"})).encode().replace(b'"?"', f'"{text}"'.encode())
    assert parse_event(body).pictures[0].data == data[:length]


@pytest.mark.parametrize("bad", [b"\n", b"\x00", b"\xff", b"\\q", b"\\u12"])
def test_refuses_a_picture_that_is_not_a_json_string(bad: bytes) -> None:
    body = json.dumps(payload({"timestamp": TIME, "image_b64": "?"})).encode()
    assert refusal(body.replace(b"?", long_text().encode() + bad)).code == "not_json"


@pytest.mark.parametrize("bad", [r"\\", r"\"", r"\ud83d\ude00", "\N{SNOWMAN}", r"\u005c", "*"])
def test_rejects_only_the_picture_that_is_not_base64(bad: str) -> None:
    other = {"timestamp": TIME, "image_b64": "?"}
    body = json.dumps(payload(image(), other)).encode().replace(b"?", (long_text() + bad).encode())
    [rejected] = parse_event(body).rejected
    assert (rejected.field, rejected.reason) == ("images[1].image_b64", "it is not base64")


def test_a_text_like_a_mark_is_not_taken_for_one() -> None:
    body = CutBody("", [], [b""])
    [rejected] = parse(payload(image(), image() | {"image_b64": "picture 0123456789abcdef 12"})).rejected
    assert rejected.reason == "it is not base64"
    assert body.text_of("picture 0123456789abcdef 12") is None


def test_errors_name_the_offset_in_the_whole_body() -> None:
    body = json.dumps(payload(image(b"x" * 3000), image(b"y" * 3000))).encode()[:-1] + b", ]"
    assert f"(byte {len(body) - 1})" in refusal(body).message
    assert f"it ends too early, at byte {len(body) - 3}" in refusal(body[:-3]).message
    assert f"it ends too early, at byte {len(body) - 90}" in refusal(body[:-90]).message


EXPLODING = {
    "objects": lambda: b'{"a":[' + b'{"":0},' * 4_700_000 + b"0]}",
    "lists": lambda: b'{"a":[' + b"[]," * 11_000_000 + b"0]}",
    "huge numbers": lambda: b'{"a":[' + b"1e999," * 5_500_000 + b"0]}",
    "long integers": lambda: b'{"a":[' + b"1" * 32_000_000 + b"]}",
    "names": lambda: b'{"image_b64":"",' * 2_000_000,
    "texts": lambda: b'{"a":[' + b'{"image_b64":"' + b'","image_b64":"'.join([b"A" * 300] * 100_000) + b'"}]}',
    "one text": lambda: b'{"a":"' + b"\xf0\x9f\x98\x80" * 8_000_000 + b'"}',
}


@pytest.mark.parametrize("name", EXPLODING)
def test_refuses_json_that_would_explode_before_decoding_it(name: str) -> None:
    body = EXPLODING[name]()
    tracemalloc.start()
    try:
        assert refusal(body).code == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("some", [b"[],", b"{},", b"0,", b'"",', b'{"":0},', b"1e999,"])
def test_refuses_more_json_values_than_the_limit_before_decoding_them(some: bytes) -> None:
    error = refusal(b'{"a":[' + some * 40_000 + b"0]}")
    assert (error.code, error.message) == ("too_large", "the event holds more than 30000 JSON values")


@pytest.mark.parametrize("text", [",[{" * 40_000, '\\",' * 40_000, '",' * 100_000])
def test_does_not_count_what_is_inside_texts_as_json_values(text: str) -> None:
    assert parse(payload(image()) | {"text": text, "more": text[:100_000]}).callback_url == URL


def test_an_event_with_as_many_images_as_allowed_has_room_for_more_json() -> None:
    images = [image() | {"size": [640, 480], "labels": ["a", "b"], "more": {"x": 1}}] * 1000
    assert len(parse(payload(*images)).pictures) == 1000


ENDS = st.lists(st.sampled_from(['"', "\\", ",", "a" * 40, "\u00e9", "\n"]), max_size=60).map("".join)


@given(ENDS)
def test_a_text_ends_at_the_same_quote_wherever_the_body_is_cut_into_pieces(text: str) -> None:
    body = json.dumps({"image_b64": text, "b": '"'}, ensure_ascii=False).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cut_body, "_PIECE", 7)
        [found] = cut_body.cut_pictures(body, 10_000, shortest=0).texts
    assert json.loads(b'"' + bytes(found.raw) + b'"') == text


@pytest.mark.parametrize("blank", [" ", "\n", " \r\n"])
def test_base64_of_millions_of_pieces_takes_little_memory(blank: str) -> None:
    body = json.dumps(payload({"timestamp": TIME, "image_b64": f"AB?{blank}" * 3_000_000})).encode()
    tracemalloc.start()
    try:
        assert refusal(body).code == "no_usable_picture"
        assert tracemalloc.get_traced_memory()[1] < 6 * len(body)
    finally:
        tracemalloc.stop()


def test_blanks_around_an_event_do_not_count_as_json() -> None:
    assert parse_event(b" " * 1000 + json.dumps(payload()).encode().ljust(2_000_000)).callback_url == URL


def test_writes_a_reply_as_in_the_contract() -> None:
    box = ((0.1, 0.2), (0.4, 0.2), (0.4, 0.7), (0.1, 0.7))
    reply = Reply({TIME: {"cat": Label(0.93, box), "dog": Label(0.88)}, "2017-05-05T01:31:14.102000": {}})
    assert encode_reply(reply) == (
        b'{"status":"success","labels":{"2017-05-05T01:31:13.738647":'
        b'{"cat":{"probability":0.93,"polygon":[[0.1,0.2],[0.4,0.2],[0.4,0.7],[0.1,0.7]]},'
        b'"dog":{"probability":0.88,"polygon":[]}},"2017-05-05T01:31:14.102000":{}}}'
    )


def test_writes_a_reply_in_the_older_form_as_a_flat_list() -> None:
    assert encode_reply(Reply(["cat", "dog"])) == b'{"status":"success","labels":["cat","dog"]}'


fractions = st.floats(0, 1)
labels = st.builds(Label, fractions, st.lists(st.tuples(fractions, fractions), max_size=5).map(tuple))


@unhurried
@given(st.dictionaries(st.text(), st.dictionaries(st.text(), labels, max_size=3), max_size=3))
def test_every_reply_can_be_read_back(given_labels: dict[str, dict[str, Label]]) -> None:
    read = json.loads(encode_reply(Reply(given_labels)))
    assert read["status"] == "success"
    assert read["labels"] == {
        time: {
            name: {"probability": one.probability, "polygon": [list(point) for point in one.polygon]}
            for name, one in found.items()
        }
        for time, found in given_labels.items()
    }
