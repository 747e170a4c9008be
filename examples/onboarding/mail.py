"""E-mail by SMTP, so that a letter that had to be handed over twice is the same letter twice."""

from __future__ import annotations

import os
import smtplib
from email.message import EmailMessage
from urllib.parse import urlsplit

import inngest_celery as inngest

_SENDER = "hello@shop.example"
_DOMAIN = "shop.example"
_TIMEOUT_SECONDS = 30


def send(to: str, subject: str, text: str, key: str) -> str:
    """Hand a letter to the mail server at ``SMTP_URL``, and give its Message-ID.

    Nobody can write a row and send a mail in one transaction: a worker that dies after the server has said "250 OK" and
    before that is recorded leaves a letter that is sent, and a step that is not done. The step runs again. What can be
    done about it is to say the same thing again: the Message-ID comes from the key, not from a random number, so that
    whoever receives both can tell that it is one letter.

    Args:
        key: what makes the letter unique: the run's id and the step's. Never the attempt's.

    Raises:
        NonRetriableError: the server will never take it; "550 no such user", say.
        smtplib.SMTPException: it may take it later.
    """
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = _SENDER, to, subject
    message["Message-ID"] = message_id = f"<{key}@{_DOMAIN}>"
    message.set_content(text)
    server = urlsplit(os.environ.get("SMTP_URL", "smtp://127.0.0.1:8025"))
    try:
        with smtplib.SMTP(server.hostname or "127.0.0.1", server.port or 25, timeout=_TIMEOUT_SECONDS) as smtp:
            smtp.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        [(code, reason)] = error.recipients.values()
        if code >= 500:
            raise inngest.NonRetriableError(f"{code} {reason.decode(errors='replace')}") from error
        raise
    return message_id
