"""A web application for gunicorn: every request generates, and with ``CALL`` its import does too."""

import os
import sys

from nupic_client import StreamingClient

if "gevent" in sys.modules and os.environ.get("INIT"):
    import grpc.experimental.gevent

    grpc.experimental.gevent.init_gevent()

client = StreamingClient("gpt.streaming", url=os.environ["TRITON"], timeout=20)
if os.environ.get("CALL"):
    assert client.generate("whole").text == "one two"


def app(environ, start_response):
    text = client.generate("slow").text
    start_response("200 OK", [("content-type", "text/plain")])
    return [text.encode()]
