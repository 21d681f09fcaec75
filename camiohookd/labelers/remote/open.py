"""Open the inference servers that the settings name: settings, `model.toml` ─▶ a labeler that asks them."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from camiohookd.config.settings import LabelerSettings, RemoteSettings
from camiohookd.errors import ConfigError
from camiohookd.labelers import Labeler, model
from camiohookd.labelers.chain.link import Watch
from camiohookd.labelers.decoders import Decoder
from camiohookd.labelers.detail.labeler import Detailed
from camiohookd.labelers.model import ModelDescription
from camiohookd.labelers.onnx.labeler import OnnxLabeler, input_shape, open_decoder
from camiohookd.labelers.onnx.runner import Node, Tensor
from camiohookd.labelers.onnx.tensors import takes_bytes, tensor
from camiohookd.labelers.remote import own_code
from camiohookd.labelers.remote.balancing import Balancer
from camiohookd.labelers.remote.contract import Wanted
from camiohookd.labelers.remote.endpoint import Caller
from camiohookd.labelers.remote.runner import RemoteLabeler, RemoteRunner
from camiohookd.labelers.remote.server import Model, Server
from camiohookd.labelers.remote.tensors import files
from camiohookd.pictures.decode import Decoded

_FLOAT = "tensor(float)"


def open_remote(settings: LabelerSettings, *, strict: bool, watch: Watch | None = None) -> RemoteLabeler:
    """Return a labeler that asks the servers of ``[labeler.remote]``.

    A server that cannot be asked now is asked later. Where the model of one does not fit, that is a ModelError if
    `strict`, else it is logged and the server is not used. `watch` is told how the servers are doing. Raises
    SetupError.
    """
    remote = settings.remote
    client = Caller(remote)
    try:
        if remote.sends == "jpeg-for-labels":
            if not remote.model_name:
                raise ConfigError('labeler.remote.model_name: sends = "jpeg-for-labels" needs the name of the model')
            asked = Model(remote.model_name, remote.model_version, own_code.WANTED, files([]))
            balancer = _balancer(asked, remote, client, watch)
            labeler: Labeler = own_code.RemoteOwnCode(balancer)
        else:
            folder = model.find(settings.model)
            description = model.load_description(folder)
            decode = open_decoder(folder, description)
            balancer = _balancer(_model(folder, description, decode, remote), remote, client, watch)
            labeler = _model_labeler(folder, description, decode, remote, balancer)
        balancer.prepare(strict=strict)
    except BaseException:
        client.close()
        raise
    return RemoteLabeler(labeler, balancer, client, remote.concurrency)


def _balancer(asked: Model, remote: RemoteSettings, client: Caller, watch: Watch | None) -> Balancer:
    servers = [Server(url, asked, client, watch) for url in dict.fromkeys(remote.endpoints)]
    return Balancer(servers, remote.retries, alike=remote.sends == "tensors")


def _model(folder: Path, description: ModelDescription, decode: Decoder, remote: RemoteSettings) -> Model:
    wanted = Wanted(
        description.input.name,
        input_shape(description.input),
        {description.outputs.get(role, role): shape for role, shape in decode.outputs.items()},
        takes_bytes=takes_bytes(description.input),
        files=remote.sends == "jpeg",
    )
    size = (description.input.width, description.input.height)
    sample = files([_sample_file(size)]) if wanted.files else tensor([_sample(size)], description.input)
    return Model(remote.model_name or folder.name, remote.model_version, wanted, sample)


def _model_labeler(
    folder: Path, description: ModelDescription, decode: Decoder, remote: RemoteSettings, balancer: Balancer
) -> Labeler:
    several = remote.batch > 1
    shape = input_shape(description.input)
    inputs = [Node(description.input.name, _FLOAT, (None if several else 1, *shape[1:]))]
    outputs = [Node(description.outputs.get(role, role), _FLOAT, each) for role, each in decode.outputs.items()]
    runner = RemoteRunner(balancer, inputs, outputs)
    kind = FilesLabeler if remote.sends == "jpeg" else OnnxLabeler
    labeler = kind(folder, runner, description, decode)
    labeler.at_once = remote.batch
    if remote.sends == "jpeg" or description.task != "detection":
        return labeler
    return Detailed(labeler)


class FilesLabeler(OnnxLabeler):
    """Sends pictures' files, which the server decodes and scales as `model.toml` says."""

    def _feed(self, pictures: Sequence[Decoded]) -> Tensor:
        return files([picture.file for picture in pictures])


def _sample(size: tuple[int, int]) -> Image.Image:
    """Return a picture with something in it, so that two answers about it are not equal by chance."""
    return Image.linear_gradient("L").resize(size).convert("RGB")


def _sample_file(size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    _sample(size).save(file, "JPEG")
    return file.getvalue()
