"""What a file is, by its first bytes: the formats that can be opened, and others to name in an error."""

import re
from typing import Literal

Format = Literal["jpeg", "png", "webp"]

NAMES: dict[Format, str] = {"jpeg": "JPEG", "png": "PNG", "webp": "WebP"}

_OTHERS: tuple[tuple[bytes, str], ...] = (
    (rb"GIF8[79]a", "a GIF picture"),
    (rb"BM.{12}[\x0c-\x7c]\0\0\0", "a BMP picture"),
    (rb"II\*\0|MM\0\*", "a TIFF picture"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (rb"\0\0..ftyp(?:hei[cmsx]|hev[cmx]|mif1|msf1)", "a HEIC picture"),
    (rb"\0\0..ftypavi[fs]", "an AVIF picture"),
    (rb"\0\0..ftyp", "an MP4 video"),
    (rb"RIFF....AVI ", "an AVI video"),
    (rb"\x1a\x45\xdf\xa3", "a Matroska video"),
    (rb"\0\0\0?\x01[\x09\x40\x67]", "an H.264 or H.265 video"),
    (rb"%PDF-", "a PDF document"),
    (rb"PK\x03\x04", "a ZIP archive"),
    (rb"\x1f\x8b", "a gzip archive"),
    (rb"\x7fELF|MZ", "a program"),
    (rb"(?:\xef\xbb\xbf)?\s*<svg[\s>]", "an SVG picture"),
    (rb"(?i)(?:\xef\xbb\xbf)?\s*(?:<!--.{0,500}?-->\s*)?<(?:!doctype html|html|head|body)[\s>]", "an HTML page"),
    (rb"(?:\xef\xbb\xbf)?\s*<\?xml(?:(?!<html).){0,500}<svg[\s>]", "an SVG picture"),
    (rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|[A-Za-z][\w:.-]{0,99}[\s/>])", "an XML document"),
    (rb"(?:\xef\xbb\xbf)?\s*(?:\{\s*[\"}]|\[\s*[\[{\"\]])", "a JSON text"),
    (rb"data:[\w.+-]{0,99}/?[\w.+-]{0,99}[;,]", "a data: URL"),
    (rb"https?://", "a web address"),
    (rb"(?:/9j/|iVBORw0KGgo|UklGR)[A-Za-z0-9+/=_\s-]{16}", "base64 text (the picture was encoded twice)"),
)
_PATTERNS = tuple((re.compile(pattern, re.DOTALL), name) for pattern, name in _OTHERS)


def format_of(data: bytes) -> Format | None:
    """Return the format that the first bytes are the signature of."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    return "webp" if data.startswith(b"RIFF") and data.startswith(b"WEBP", 8) else None


def other_kind(data: bytes) -> str | None:
    """Return the kind of the file, with an article, if it is known and not a supported picture format."""
    head = data[:1024]
    return next((name for pattern, name in _PATTERNS if pattern.match(head)), None)
