"""How a server is run. Whoever only says so need not have installed what one takes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Options:
    """How a server is run.

    Attributes:
        development: whether it is ``dev``: no keys, apps are looked for.
        sdk_urls: the apps that were named.
        discovery: whether apps are looked for on this machine.
        poll_interval: how often apps are asked whether they have changed, in seconds; 0 asks never.
        poll_all: whether all are, and not only those whose last synchronisation failed.
        event_keys: what events may be sent with; none, any key may.
        gateway_port: where apps dial in; where everything else is served, if left out.
        dashboard: whether there are pages for people.
        allowed_hosts: names by which a development server is open to whoever can reach it, and not to this machine
            only; ``*`` is any.
    """

    development: bool = True
    sdk_urls: tuple[str, ...] = ()
    discovery: bool = True
    poll_interval: float = 5.0
    poll_all: bool = True
    event_keys: frozenset[str] = field(default_factory=frozenset)
    gateway_port: int | None = None
    dashboard: bool = True
    allowed_hosts: frozenset[str] = field(default_factory=frozenset)
