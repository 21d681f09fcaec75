"""Inference servers on other machines, and how the work is shared with them."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from camiohookd.config.quantities import Duration
from camiohookd.config.values import EndpointUrl


class RemoteSettings(Struct, frozen=True):
    """Inference servers that speak the Open Inference Protocol (KServe v2)."""

    endpoints: Annotated[
        tuple[EndpointUrl, ...],
        Meta(
            description="The servers, all with the same model. A request goes to the one with the fewest requests in "
            "hand. They may be at private addresses."
        ),
    ] = ()
    model_name: Annotated[
        str, Meta(description='The name of the model on the servers; "": the name of the folder of labeler.model.')
    ] = ""
    model_version: Annotated[
        str, Meta(description='The version of the model that has to answer; "": the one that the server chooses.')
    ] = ""
    sends: Annotated[
        Literal["tensors", "jpeg", "jpeg-for-labels"],
        Meta(
            description="tensors: pictures as labeler.model's input; jpeg: the pictures' files, for a server that "
            "decodes and scales them itself; jpeg-for-labels: the same, for a server that runs your compute_labels."
        ),
    ] = "tensors"
    batch: Annotated[int, Meta(ge=1, le=16, description="The most pictures in one request.")] = 1
    concurrency: Annotated[int, Meta(ge=1, le=64, description="The most requests at one time.")] = 4
    timeout: Annotated[Duration, Meta(description="How long one request may take in total.")] = Duration("10s")
    retries: Annotated[
        int,
        Meta(ge=0, le=10, description="How often a request that fails is sent again, to another server if possible."),
    ] = 2
    ca: Annotated[
        str, Meta(min_length=1, description="The certificate authorities to trust, as ca under [callback].")
    ] = "system"
    client_cert: Annotated[
        str, Meta(description="The certificate (PEM) to show to the servers, if they ask for one.")
    ] = ""
    client_key: Annotated[str, Meta(description="Its key (PEM).")] = ""
    token_file: Annotated[
        str,
        Meta(description="A file with a token, which is sent as Authorization: Bearer. It is read for each request."),
    ] = ""


class SpillSettings(Struct, frozen=True):
    """How the labeler on this machine and the servers of [labeler.remote] share the work.

    This has an effect if endpoints are set and kind is not "remote".
    """

    prefer: Annotated[
        Literal["home", "remote"],
        Meta(
            description="home: this machine labels, and the servers help with what has waited too long; remote: the "
            "servers label, and this machine does it while no server works."
        ),
    ] = "home"
    after: Annotated[
        Duration,
        Meta(description='With prefer = "home": how long a picture waits for this machine before it goes to a server.'),
    ] = Duration("60s")
