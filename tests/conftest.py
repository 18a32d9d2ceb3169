from __future__ import annotations

import signal

from hypothesis import settings

# No test may depend on being fast: Hypothesis fails an example that takes more than 200 ms, which a busy machine does.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# A shell that starts the tests in the background makes them ignore Ctrl-C, and with them every program they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
