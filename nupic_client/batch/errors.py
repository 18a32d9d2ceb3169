"""What stops a batch besides its server."""

from __future__ import annotations

from nupic_client.errors import NupicError

__all__ = ["BatchFileError"]


class BatchFileError(NupicError):
    """A file of a running batch cannot be read or written, as on a full disk; what was written can be resumed."""
