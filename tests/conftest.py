from __future__ import annotations

from hypothesis import settings

# No test may depend on being fast: Hypothesis fails an example that takes more than 200 ms, which a busy machine does.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
