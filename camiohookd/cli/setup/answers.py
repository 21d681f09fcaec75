"""Keep the answers of `camiohookd setup`, and derive the changed settings from them.

present settings ─▶ `Answers` ─▶ questions or options change some ─▶ `changes`
"""

from dataclasses import dataclass
from pathlib import Path

from camiohookd.config.detail import Detail
from camiohookd.config.load import Config
from camiohookd.config.settings import HookSettings
from camiohookd.config.settings_editor import Value
from camiohookd.config.values import Address
from camiohookd.net.addresses import is_loopback

WAYS = {
    "port": "port forwarding with TLS: a public IPv4 address, a forwarded port, a certificate on this box",
    "proxy": "your own reverse proxy, which has the certificate",
    "ssh": "an SSH tunnel to your own server on the internet",
    "tunnel": "another tunnel that ends in https, such as Tailscale Funnel or Cloudflare Tunnel",
}
"""The ways in from the internet, as docs/internet.md describes them."""

DETAILS: dict[Detail, str] = {
    "auto": "parts of it, too, first where the pictures of an event differ, as far as there is time",
    "whole": "the whole picture alone: the fastest; people who are far away are missed",
    "2x2": "always 4 overlapping parts, too: takes five times as long as whole",
    "3x3": "always 9 overlapping parts, too: takes ten times as long as whole",
    "tiles": "always as many parts as the picture has pixels for, too; at most 16",
}
"""How closely pictures can be looked at, as docs/detail.md describes it."""

LISTEN = "0.0.0.0:8443"
"""Where to listen for port forwarding with TLS, unless the present address is usable."""

_TUNNELS = Path("/etc/camiohookd")


@dataclass(slots=True)
class Answers:
    """One answer to each question, in the form of the settings.

    `page` says whether other machines may open the status page, `insecure` whether by plain http. `way` is None if
    the present settings fit no way in.
    """

    way: str | None
    listen: str
    tls_cert: str
    tls_key: str
    trusted_proxies: list[str]
    public_url: str
    query: str
    model: str
    detail: Detail
    page: bool
    insecure: bool
    page_cert: str
    page_key: str

    def use_way(self, way: str) -> None:
        """Choose the way in, and remove settings of other ways. Keep the listener's address if the way can use it."""
        self.way = way
        if way != "port":
            self.tls_cert = self.tls_key = ""
        if way != "proxy":
            self.trusted_proxies = []
        address = Address(self.listen)
        if way == "port":
            if is_loopback(address.host) or address == HookSettings().listen:
                self.listen = LISTEN
        elif not is_loopback(address.host):
            self.listen = f"127.0.0.1:{address.port}"

    def let_proxy_in(self, proxy: str) -> None:
        """Trust a proxy. If it is on another machine, let it reach the listener."""
        if proxy not in self.trusted_proxies:
            self.trusted_proxies = [*self.trusted_proxies, proxy]
        address = Address(self.listen)
        if not is_loopback(proxy) and is_loopback(address.host):
            self.listen = f"0.0.0.0:{address.port}"


def present(config: Config) -> Answers:
    """Return the answers that match the present settings."""
    hook, admin = config.hook, config.admin
    return Answers(
        way=_way(hook),
        listen=str(hook.listen),
        tls_cert=hook.tls_cert,
        tls_key=hook.tls_key,
        trusted_proxies=[_as_written(each) for each in hook.trusted_proxies],
        public_url=str(hook.public_url),
        query=hook.query,
        model=config.labeler.model,
        detail=config.labeler.detail,
        page=not is_loopback(admin.listen.host),
        insecure=admin.insecure,
        page_cert=admin.tls_cert,
        page_key=admin.tls_key,
    )


def changes(before: Answers, after: Answers, config: Config) -> dict[tuple[str, str], Value]:
    """Return the settings that differ, by section and key."""
    found: dict[tuple[str, str], Value] = {}
    for name in ("listen", "tls_cert", "tls_key", "trusted_proxies", "public_url", "query"):
        if getattr(before, name) != getattr(after, name):
            found["hook", name] = getattr(after, name)
    for name in ("model", "detail"):
        if getattr(before, name) != getattr(after, name):
            found["labeler", name] = getattr(after, name)
    for name in ("tls_cert", "tls_key"):
        if (value := getattr(after, f"page_{name[4:]}")) != getattr(before, f"page_{name[4:]}"):
            found["admin", name] = value
    if before.insecure != after.insecure:
        found["admin", "insecure"] = after.insecure
    if before.page != after.page:
        port = config.admin.listen.port
        found["admin", "listen"] = f"0.0.0.0:{port}" if after.page else f"127.0.0.1:{port}"
    return found


def _way(hook: HookSettings) -> str | None:
    """Return the way in that the settings are for; None for the settings of a new box."""
    if hook.trusted_proxies:
        return "proxy"
    if hook.tls_cert:
        return "port"
    if is_loopback(hook.listen.host):
        return "ssh" if any(_TUNNELS.glob("tunnel-*.key")) else "tunnel"
    return None


def _as_written(network: str) -> str:
    """Return a network as people write it: a single address without /32 or /128."""
    return network.removesuffix("/128" if ":" in network else "/32")
