"""A real SMTP server on this machine, which keeps what it gets. As a program, for ``dev``, it prints it, too."""

from __future__ import annotations

import asyncio
import email
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

_PORT = 8025


class Mailbox:
    """What came in. Its answer to a letter can be held back, so that a sender can be killed while it waits for it.

    Attributes:
        letters: all that were accepted, repeated ones included.
        holding: set while the sender of an accepted letter waits for its "250 OK".
    """

    def __init__(self) -> None:
        self.letters: list[Message] = []
        self.holding = threading.Event()
        self._held: str | None = None

    def hold_next_answer(self, recipient: str) -> None:
        """Accept the next letter to somebody, and never say so."""
        self._held = recipient

    def shown_to(self, recipient: str) -> dict[str, list[Message]]:
        """Give what the recipient sees, one letter for each Message-ID, with all copies that came of it.

        Mail stores do this: Cyrus and Gmail by themselves, others with Sieve's ``duplicate`` test (RFC 7352).
        """
        shown: dict[str, list[Message]] = defaultdict(list)
        for letter in self.letters:
            if letter["To"] == recipient:
                shown[str(letter["Message-ID"])].append(letter)
        return shown

    # What aiosmtpd calls

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        letter = email.message_from_bytes(envelope.content)
        self.letters.append(letter)
        if letter["To"] == self._held:
            self._held = None
            self.holding.set()
            await asyncio.Event().wait()
        return "250 OK"


@contextmanager
def running(mailbox: Mailbox, port: int = 0) -> Iterator[str]:
    """Serve meanwhile, and give the server's address."""
    controller = Controller(mailbox, hostname="127.0.0.1", port=port or _free_port(), ready_timeout=10)
    controller.start()
    try:
        yield f"smtp://127.0.0.1:{controller.port}"
    finally:
        controller.stop()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _Printed(Mailbox):
    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = await super().handle_DATA(server, session, envelope)
        print(self.letters[-1].as_string(), flush=True)
        return answer


if __name__ == "__main__":
    with running(_Printed(), _PORT) as address:
        print(f"{address}; Ctrl-C ends it", flush=True)
        threading.Event().wait()
