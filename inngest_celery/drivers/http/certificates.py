"""Whose certificates are trusted when apps are called over TLS, and how it is told that one was not."""

from __future__ import annotations

import ssl


class UnreadableCertificatesError(OSError):
    """The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read. ``code`` is ``http_unreachable``."""

    code = "http_unreachable"


def trusted() -> ssl.SSLContext:
    """Read the certificates that are trusted: of the public authorities, or instead what the environment names.

    That is ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``, as everywhere with OpenSSL.

    Raises:
        UnreadableCertificatesError: what is named is not there, or holds no certificates.
    """
    import httpx

    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise UnreadableCertificatesError(
            f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: {error}"
        ) from error


def distrust(error: BaseException) -> str:
    """Say what is wrong with the other side's certificate, if that is what an error is about; else nothing."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return ""
    return (
        f"its certificate is not trusted ({cause.verify_message.removesuffix('.')}). If an authority of your own issued"
        " it, set SSL_CERT_FILE for workers and servers to a file with that authority's certificate in it"
    )
