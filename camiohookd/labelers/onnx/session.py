"""ONNX Runtime's sessions: a model's bytes → a `Runner` on one device.

    model ─▶ kept graph? ── yes ─▶ session, already optimized
                         └─ no ──▶ session, which writes its optimized graph ─▶ `cache`

The package's `__init__` switches the runtime's telemetry off before it is imported here.
"""

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnxruntime as ort  # type: ignore[import-untyped]  # it has no type hints

from camiohookd.errors import LabelingError, ModelError
from camiohookd.labelers.onnx import providers
from camiohookd.labelers.onnx.cache import Cache
from camiohookd.labelers.onnx.devices import CPU, Device
from camiohookd.labelers.onnx.runner import Node, Tensor
from camiohookd.system.log_fields import about

_ONLY_ERRORS = 3
_NO_MESSAGES = 4
_NOT_TO_BE_KEPT = b""  # the graph of a provider that compiles it cannot be written
_UNFINISHED = "new-"
_ASSIGNMENT = "session.record_ep_graph_assignment_info"

log = logging.getLogger("camiohookd.labeler")


class Change(NamedTuple):
    """What `make` does to a model's bytes before they are used; `version` is another one for another change."""

    version: int
    make: Callable[[bytes], bytes]


UNCHANGED = Change(0, bytes)


class OnnxSession:
    """One ONNX Runtime session, which several threads may use at once."""

    def __init__(self, session: ort.InferenceSession, device: str) -> None:
        self._session = session
        self.device = device
        self.inputs = _nodes(session.get_inputs())
        self.outputs = _nodes(session.get_outputs())

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Tensor]) -> Sequence[Tensor]:
        try:
            tensors: Sequence[Tensor] = self._session.run(list(outputs), dict(feeds))
        except Exception as error:  # ONNX Runtime's exceptions have no base but this
            raise LabelingError(f"ONNX Runtime: {_text(error)}") from error
        return tensors

    def nodes_by_provider(self) -> dict[str, int] | None:
        """Return how many of the graph's nodes each provider runs; None if ONNX Runtime did not record it."""
        try:
            parts = self._session.get_provider_graph_assignment_info()
        except Exception:  # noqa: BLE001  # ONNX Runtime before 1.25 has no such function; its errors have no base
            return None
        counts: dict[str, int] = {}
        for part in parts:
            counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
        return counts

    def close(self) -> None:
        pass


def open_session(
    model: bytes,
    name: str,
    device: Device = CPU,
    *,
    settings: Mapping[str, str] | None = None,
    cache: Cache | None = None,
    remember_nodes: bool = False,
    change: Change = UNCHANGED,
) -> OnnxSession:
    """Open a session on a device; `name` is the model's name in errors, `settings` are the provider's own options.

    The thread that calls `run` does all of it. A `cache` makes the next start faster, the `change` to the model's bytes
    included. Raises ModelError.
    """
    settings = settings or {}

    def options() -> ort.SessionOptions:
        made = _options(device)
        if remember_nodes:
            made.add_session_config_entry(_ASSIGNMENT, "1")
        return made

    try:
        if cache is None:
            session = _start(change.make(model), options(), device, settings)
        else:
            session = _start_from_cache(model, options, device, settings, cache, change)
    except ModelError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no base but this
        raise ModelError(f"{name}: ONNX Runtime cannot load the model: {_text(error)}") from error
    if device.provider not in session.get_providers():
        raise ModelError(f"{name}: ONNX Runtime started without {device.name}")
    return OnnxSession(session, "cpu" if device.is_cpu else device.name)


def _options(device: Device) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ONLY_ERRORS if device.is_cpu else _NO_MESSAGES
    return options


def _start(
    model: bytes, options: ort.SessionOptions, device: Device, settings: Mapping[str, str]
) -> ort.InferenceSession:
    chosen = providers.choose(options, device, settings)
    # ONNX Runtime's own fallback to the CPU would print lines and not report it.
    return ort.InferenceSession(model, options, providers=chosen, enable_fallback=0)


def _start_from_cache(
    model: bytes,
    options: Callable[[], ort.SessionOptions],
    device: Device,
    settings: Mapping[str, str],
    cache: Cache,
    change: Change,
) -> ort.InferenceSession:
    facts = {
        "model": hashlib.sha256(model).hexdigest(),
        "runtime": providers.version(),
        "device": device,
        "settings": dict(settings),
        "change": change.version,
    }
    kept = cache.load("graph", **facts)
    if kept:
        try:
            return _start(kept, _as_it_is(options()), device, settings)
        except Exception as error:  # noqa: BLE001  # ONNX Runtime's exceptions have no base but this
            log.warning(
                "cannot load the cached optimized graph, so it will be made again: %s",
                _text(error),
                extra=about("cache_damaged"),
            )
    model = change.make(model)
    if kept != _NOT_TO_BE_KEPT and (started := _start_and_keep(model, options, device, settings, cache, facts)):
        return started
    return _start(model, options(), device, settings)


def _start_and_keep(
    model: bytes,
    options: Callable[[], ort.SessionOptions],
    device: Device,
    settings: Mapping[str, str],
    cache: Cache,
    facts: Mapping[str, object],
) -> ort.InferenceSession | None:
    """Start a session and cache its optimized graph; None if the graph could not be written."""
    try:
        cache.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_behind in cache.folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=cache.folder, prefix=_UNFINISHED) as folder:
            written = Path(folder, "model.onnx")
            writing = options()
            writing.optimized_model_filepath = str(written)
            session = _start(model, writing, device, settings)
            graph = written.read_bytes()
            cache.save("graph", graph, **facts)
            if device.is_cpu:  # the session that has optimized the graph keeps 7 MB; a second start is quick
                del session
                session = _start(graph, _as_it_is(options()), device, settings)
            return session
    except ModelError:
        raise
    except OSError as error:
        log.warning(
            "cannot cache the optimized graph in %s: %s", cache.folder, error.strerror, extra=about("cache_not_written")
        )
    except Exception:  # noqa: BLE001  # ONNX Runtime's exceptions have no base but this
        if not device.is_cpu:
            cache.save("graph", _NOT_TO_BE_KEPT, **facts)
    return None


def _as_it_is(options: ort.SessionOptions) -> ort.SessionOptions:
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _nodes(nodes: Sequence[Any]) -> tuple[Node, ...]:
    return tuple(Node(node.name, node.type, tuple(node.shape)) for node in nodes)


def _text(error: Exception) -> str:
    return " ".join(str(error).split())
