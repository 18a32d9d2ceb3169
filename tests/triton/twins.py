"""The real server and FakeTriton side by side, with the same models and the same script."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from again import has_died
from google.protobuf.json_format import MessageToDict

from nupic_client.local.engine import ServedModel
from nupic_client.testing import FakeTriton
from triton.raw import Answer, Raw
from triton.server import RealTriton

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nupic_client.signature import ModelSignature
    from nupic_client.testing import ReplySource

__all__ = ["Twins", "plain", "twins"]


@dataclass
class Twins:
    """Calls to both servers."""

    server: RealTriton
    real: Raw
    fake: Raw

    def revive(self) -> None:
        """Start the real server again if it died, so that one test takes nothing away from the next."""
        if not self.server.running or has_died(self.server.server):
            self.server.restart()
            self.real.close()
            self.real = Raw(self.server.url)

    def ask(self, method: str, request: Any, **options: Any) -> tuple[Answer, Answer]:
        """Send a request to both, and return both answers: the real server's first."""
        if method == "ModelStreamInfer":
            return self.real.stream(request, **options), self.fake.stream(request, **options)
        return self.real.send(method, request), self.fake.send(method, request)

    def check(self, method: str, request: Any) -> Answer:
        """Check that both answer the same, and return the answer."""
        real, fake = self.ask(method, request)
        assert plain(fake) == plain(real), method
        return real


def plain(answer: Answer) -> Any:
    """Return the answer as plain values."""
    return [MessageToDict(message) for message in answer.messages], answer.code, answer.details


@contextlib.contextmanager
def twins(
    reply: ReplySource,
    models: Sequence[ModelSignature],
    *,
    options: Sequence[str] = (),
    labels: Mapping[str, Sequence[str]] = {},
    edit: Callable[[RealTriton], object] = lambda _real: None,
    **fake_options: Any,
) -> Iterator[Twins]:
    """Run both servers.

    Args:
        reply: the script of both.
        models: the models of both.
        options: options of the program of the real server.
        labels: the labels of the output ``y`` of each model that has some.
        edit: changes the real server before it starts.
        fake_options: arguments of `FakeTriton`.
    """
    real = RealTriton(reply, models=models, options=options)
    for model, names in labels.items():
        folder = real._models_folder / model
        (folder / "y_labels.txt").write_text("".join(f"{name}\n" for name in names))
        config = folder / "config.pbtxt"
        text = config.read_text()
        assert 'output { name: "y"' in text
        config.write_text(
            text.replace('output { name: "y"', 'output { label_filename: "y_labels.txt" name: "y"')
        )
    edit(real)
    with real, FakeTriton(reply, models=models, **fake_options) as fake:
        if labels:
            stored = fake._repository.stored
            for model, names in labels.items():
                served = stored[model]
                fake._repository.load(
                    ServedModel(model, served.signature, served.engine, labels={"y": tuple(names)})
                )
        calls = Twins(real, Raw(real.url), Raw(fake.url))
        yield calls
        calls.real.close()
        calls.fake.close()
