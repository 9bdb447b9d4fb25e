"""A certificate for loopback, made at run time; nothing secret is kept."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path


class TlsUnavailable(RuntimeError):
    """The package that makes certificates is not installed."""


class LoopbackCertificate:
    """A throw-away authority and a certificate for 127.0.0.1 and localhost.

    `context` is the server's; `ca_path` names a temporary file with the authority, which `remove` deletes.
    """

    def __init__(self) -> None:
        try:
            import trustme  # an optional extra
        except ImportError:
            raise TlsUnavailable("TLS needs trustme: pip install fastfeed[sim]") from None
        authority = trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(self.context)
        handle, path = tempfile.mkstemp(prefix="fastfeed-sim-", suffix=".pem")
        os.write(handle, authority.cert_pem.bytes())
        os.close(handle)
        self.ca_path = Path(path)

    def remove(self) -> None:
        """Delete the authority's file."""
        self.ca_path.unlink(missing_ok=True)
