"""Keep what was taught up to date with the disk: read new and changed files while the service runs.

files ─▶ the same model? ── yes ─▶ ready
                         └─ no ──▶ taught again from the kept pictures, on a thread; else a warning
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from camiohookd.errors import CamiohookdError
from camiohookd.labelers.model import load_description
from camiohookd.labelers.onnx.features import FeatureModel, open_features
from camiohookd.labelers.taught import places, store
from camiohookd.labelers.taught.learning import Learned
from camiohookd.labelers.taught.places import TaughtError
from camiohookd.labelers.taught.store import Taught
from camiohookd.labelers.taught.teaching import teach_again, without_crops
from camiohookd.system.log_fields import about
from camiohookd.system.logs import escape

LOOK_SECONDS = 2.0
"""How often the folder is looked at, at most."""

log = logging.getLogger("camiohookd.labeler")

_Stamp = tuple[int, int, int]


class Ready(NamedTuple):
    """Something that was taught, without its pictures, its classifier, and the model that gives its features."""

    taught: Taught
    learned: Learned
    model: FeatureModel


class Collection:
    """Everything taught in the `state` folder with the model in `folder`; any thread may ask."""

    def __init__(self, state: Path, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._look_next = -1.0
        self._ready: dict[Path, tuple[_Stamp, Ready | None]] = {}
        self._current: tuple[Ready, ...] = ()
        self._models: dict[tuple[str, ...], FeatureModel] = {}
        self._again: threading.Thread | None = None

    def current(self) -> Sequence[Ready]:
        """Return what is ready to be used; look at the folder if that is due. Errors are logged, once for a file."""
        if self._clock() >= self._look_next and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._look_next = self._clock() + LOOK_SECONDS
                self._lock.release()
        return self._current

    def close(self) -> None:
        """Wait for what is being taught again."""
        if self._again is not None:
            self._again.join()

    def _look(self) -> None:
        stamps = self._stamps()
        if {path: stamp for path, (stamp, _) in self._ready.items()} == stamps:
            return
        kept = {path: each for path, each in self._ready.items() if stamps.get(path) == each[0]}
        old: list[Taught] = []
        for path in stamps.keys() - kept.keys():
            kept[path] = (stamps[path], self._load(path, old))
        self._ready = kept
        self._current = tuple(ready for _, (_, ready) in sorted(kept.items()) if ready is not None)
        names = ", ".join(ready.taught.name for ready in self._current) or "none"
        log.info("taught labels in use: %s", escape(names), extra=about("taught_loaded"))
        if old:
            self._again = threading.Thread(target=self._teach_again, args=(old,), name="teach-again")
            self._again.start()

    def _stamps(self) -> dict[Path, _Stamp]:
        found = {}
        try:
            for path in places.files(self._state):
                facts = path.stat()
                found[path] = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
        except OSError as error:
            log.debug("cannot list the taught labels: %s", error, extra=about("taught_not_read"))
        return found

    def _load(self, path: Path, old: list[Taught]) -> Ready | None:
        try:
            taught = store.read(path)
            if path != places.path_of(self._state, taught.name):
                raise TaughtError(
                    f'{path}: it contains "{taught.name}", but the file has another name; import it with '
                    '"camiohookd taught import"'
                )
            if taught.model == load_description(self._folder).sha256:
                return Ready(without_crops(taught), taught.learned(), self._model(taught.tensors))
            if taught.crops:
                old.append(taught)
                return None
            raise TaughtError(f'"{taught.name}" was taught with another model and is not used: teach it again')
        except CamiohookdError as error:
            log.warning("a taught label is not used: %s", escape(str(error)), extra=about("taught_not_used"))
        return None

    def _model(self, tensors: tuple[str, ...]) -> FeatureModel:
        if tensors not in self._models:
            self._models[tensors] = open_features(self._folder, tensors)
        return self._models[tensors]

    def _teach_again(self, old: Sequence[Taught]) -> None:
        for taught in old:
            try:
                model = open_features(self._folder)
                again = teach_again(taught, model, load_description(self._folder).sha256)
                store.save(self._state, again)
            except CamiohookdError as error:
                log.warning(
                    '"%s" could not be taught again for this model: %s',
                    taught.name,
                    escape(str(error)),
                    extra=about("taught_not_used"),
                )
            else:
                found = "cannot be judged" if again.report.accuracy is None else f"{again.report.accuracy:.2f}"
                log.info(
                    '"%s" was taught again for this model from the kept pictures: accuracy %s',
                    taught.name,
                    found,
                    extra=about("taught_again"),
                )
