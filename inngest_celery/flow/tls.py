"""TLS to the Redis that is the broker: what Celery is told of it, as a URL that says the same."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit


def url_of_broker(url: str, options: object) -> str:
    """Give a broker's URL with what Celery has read from its query or from ``broker_use_ssl``.

    Args:
        url: as kombu gives it, without a query.
        options: kombu's ``Connection.ssl``: a dict of options, or whether to use TLS at all.

    Example:
        >>> url_of_broker("rediss://host:6379/0", {"ssl_ca_certs": "/etc/ca.pem"})
        'rediss://host:6379/0?ssl_ca_certs=%2Fetc%2Fca.pem'
    """
    return urlsplit(url)._replace(scheme="rediss", query=urlencode(texts_of(options))).geturl() if options else url


def texts_of(options: object) -> dict[str, str]:
    """Give the options of TLS, if there are any, as they stand in a URL's query."""
    given = options if isinstance(options, Mapping) else {}
    return {name: _text_of(value) for name, value in given.items() if value is not None}


def _text_of(value: object) -> str:
    return value.name.removeprefix("CERT_").lower() if isinstance(value, ssl.VerifyMode) else str(value)
