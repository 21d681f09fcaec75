"""One inference server: it is asked for its contract first, then tried, and then for inferences.

    ready? ─▶ metadata ─▶ does it fit? ─▶ one inference in the binary form and one in JSON ─▶ inferences in that form

The forms are tried because servers do not say reliably which they know.
"""

import logging
import threading
from collections.abc import Mapping
from itertools import count
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from camiohookd.errors import CamiohookdError
from camiohookd.labelers.chain.link import Watch
from camiohookd.labelers.onnx.runner import Tensor
from camiohookd.labelers.remote import protocol
from camiohookd.labelers.remote.breaker import Breaker
from camiohookd.labelers.remote.contract import ServedNames, Wanted, fit
from camiohookd.labelers.remote.endpoint import Caller, shown
from camiohookd.labelers.remote.protocol import Identity
from camiohookd.labelers.remote.tensors import files
from camiohookd.labelers.remote.unusable import Unusable
from camiohookd.system.log_fields import about

_TOLERANCE = 0.01

log = logging.getLogger("camiohookd.labeler")


class Model(NamedTuple):
    """The model that is asked for: its name and version ("": any) on the servers, and what is sent and read.

    `sample` is an input for the trial.
    """

    name: str
    version: str
    wanted: Wanted
    sample: Tensor


class _Form(NamedTuple):
    """How the server is asked, and the version of the model that answered the trial."""

    fit: ServedNames
    binary: bool
    version: str


class Server:
    """Asks one server; any thread may. `outstanding` is the number of requests in hand, which the balancer counts."""

    def __init__(self, url: str, model: Model, client: Caller, watch: Watch | None) -> None:
        self.name = shown(url)
        self.outstanding = 0
        self.breaker = Breaker(self._breaker_changed)
        self._watch = watch
        if watch:
            watch.server(self.name, True)
        self._model = model
        self._client = client
        self._base = url
        path = f"{url}/v2/models/{quote(model.name, safe='')}"
        self._model_url = f"{path}/versions/{quote(model.version, safe='')}" if model.version else path
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._form: _Form | None = None

    def prepare(self) -> None:
        """Check the contract and find the form of the requests, unless that is done.

        Raises Unusable if the server cannot be asked, ModelError if its model does not fit.
        """
        with self._lock:
            if self._form is None:
                self._form = self._tried()

    def infer(self, value: Tensor, further: Tensor | None = None) -> Mapping[str, "Tensor | list[bytes]"]:
        """Return the wanted outputs for the input `value`, by their names in `model.toml`. Raises as `prepare` does.

        `further` are the texts for the further input; they are left out if the server does not take them.
        """
        self.prepare()
        form = self._form
        assert form is not None
        found = self._ask(value, form.fit, further, binary=form.binary)
        if found.version != form.version:
            # An update of the model, which may have another contract: it is checked before the next request.
            self._form = None
        return {name: found.outputs[theirs] for name, theirs in form.fit.outputs.items()}

    def answers_the_sample(self) -> bool:
        """Return whether the server answers the trial's request now, as it did before."""
        form = self._form
        try:
            if form is None:
                self.prepare()
            else:
                self._ask(self._model.sample, form.fit, binary=form.binary)
        except (Unusable, CamiohookdError):
            return False
        return True

    def _tried(self) -> _Form:
        self._client.get(f"{self._base}/v2/health/ready")  # 200 means that it is
        found = fit(self._client.get(self._model_url).data, self._model.wanted)
        sample = self._model.sample
        failures = []
        answers = []
        for binary in (True, False):
            try:
                answers.append((binary, self._ask(sample, found, binary=binary)))
            except Unusable as error:
                failures.append(error)
        if not answers:
            raise failures[-1]
        binary, first = answers[0]
        if len(answers) == 2 and not _agree(first, answers[1][1]):
            binary = False  # the raw bytes are read in some other way
        form = _Form(found, binary, first.version)
        asked_in = "JSON" if not binary else "the binary form" if first.binary else "the binary form, answers in JSON"
        log.info(
            "inference server %s: model %s%s, requests in %s",
            self.name,
            self._model.name,
            f" version {form.version}" if form.version else "",
            asked_in,
            extra=about("remote_ready"),
        )
        return form

    def _ask(
        self, value: Tensor, found: ServedNames, further: Tensor | None = None, *, binary: bool
    ) -> protocol.InferenceResponse:
        asked = Identity(f"camiohookd-{next(self._numbers)}", self._model.name, self._model.version)
        value = _with_axes(value, found.rank) if found.kind is None else value.astype(found.kind, copy=False)
        inputs = {found.input: value}
        if found.further_rank:
            texts = files([]) if further is None else further
            inputs[self._model.wanted.further] = _with_axes(texts, found.further_rank)
        names = list(found.outputs.values())
        body = protocol.request(asked.id, inputs, names, binary=binary)
        reply = self._client.post(f"{self._model_url}/infer", body.data, body.headers)
        head_length = reply.headers.get(protocol.HEAD_LENGTH.lower())
        return protocol.answer(reply.data, head_length, asked, names, texts=self._model.wanted.texts)

    def failed(self, reason: str, *, at_once: bool = False) -> None:
        """Record a request that got no usable answer; the arguments are those of `Breaker.failed`."""
        if self._watch:
            self._watch.server_failed(self.name)
        self.breaker.failed(reason, at_once=at_once)

    def refused(self) -> None:
        """Record a request that failed because of its event; the server counts as working."""
        if self._watch:
            self._watch.server_failed(self.name)
        self.breaker.worked()

    def _breaker_changed(self, reason: str | None, wait: float) -> None:
        if self._watch:
            self._watch.server(self.name, reason is None)
        if reason is None:
            log.warning("inference server %s: works again", self.name, extra=about("remote_back"))
            return
        self._form = None  # the server may be another one when it is back
        log.warning(
            "inference server %s%s; it is not asked again for %g s",
            self.name,
            reason,
            wait,
            extra=about("remote_lost"),
        )


def _with_axes(values: Tensor, rank: int) -> Tensor:
    return values.reshape(len(values), *[1] * (rank - 1))


def _agree(one: protocol.InferenceResponse, other: protocol.InferenceResponse) -> bool:
    return all(_equal(value, other.outputs[name]) for name, value in one.outputs.items())


def _equal(one: "Tensor | list[bytes]", other: "Tensor | list[bytes]") -> bool:
    if isinstance(one, list) or isinstance(other, list):
        return one == other
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE))
