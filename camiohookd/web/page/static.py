"""Serve the static files of the status page: style, scripts, icon. They are small and read once.

A URL contains a hash of the file, so that a browser can cache the file for ever and still gets a new version at once.
"""

import hashlib
from pathlib import Path

from camiohookd.web.server import error_responses
from camiohookd.web.server.endpoint import Endpoint
from camiohookd.web.server.error_responses import Refused

FOLDER = Path(__file__).with_name("static")
_TYPES = {".css": "text/css; charset=UTF-8", ".js": "text/javascript; charset=UTF-8", ".svg": "image/svg+xml"}


class StaticFiles:
    """The files in `folder`, by name."""

    def __init__(self, folder: Path = FOLDER) -> None:
        files = (file for file in sorted(folder.iterdir()) if file.suffix in _TYPES)
        self._files = {file.name: file.read_bytes() for file in files}
        self._hashes = {name: hashlib.sha256(data).hexdigest()[:16] for name, data in self._files.items()}

    def url(self, name: str) -> str:
        """Return the path of the file `name` on the listener."""
        return f"/static/{name}?v={self._hashes[name]}"

    def get(self, name: str) -> tuple[bytes, str] | None:
        """Return the contents and the media type of the file `name`; None if there is none."""
        data = self._files.get(name)
        return None if data is None else (data, _TYPES[Path(name).suffix])

    def is_current(self, name: str, version: str) -> bool:
        """Return whether `version` is the hash in the present URL of the file `name`."""
        return self._hashes.get(name) == version


class StaticFile(Endpoint):
    """``/static/NAME``; public, because the login page needs it and it reveals nothing about the box."""

    def initialize(self, files: StaticFiles) -> None:
        self._files = files

    async def serve(self) -> None:
        name = self.request.path.rpartition("/")[2]
        found = self._files.get(name)
        if found is None:
            raise Refused(error_responses.UNKNOWN_PATH)
        data, media_type = found
        self.set_header("Content-Type", media_type)
        self.set_header("Content-Security-Policy", "default-src 'none'")
        if self._files.is_current(name, self.get_query_argument("v", "")):
            self.set_header("Cache-Control", "public, max-age=31536000, immutable")
        self.write(data)
