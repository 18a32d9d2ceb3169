"""`StreamingClient` and `ClientFactory` under the names that NuPIC scripts import them by.

``nupic`` and ``nupic.client`` are namespace packages, without ``__init__.py``, on purpose: NuPIC's own
distribution may own these names. Where it is installed as regular packages Python takes those and never sees
this file; a folder ``nupic`` beside a script, as the NuPIC server has one, does not hide this file either.
"""  # noqa: INP001 - see above

from __future__ import annotations

from nupic_client.factory import ClientFactory
from nupic_client.streaming import StreamingClient

__all__ = ["ClientFactory", "StreamingClient"]
