"""No request reaches the file system: every way that one could name a file is tried, on a server that is watched."""

import ctypes
import json
import os
import subprocess
import sys

import grpc
import pytest
from cli.processes import environment
from local.raw_client import RawClient, request, text_of

from nupic_client._core.kserve import wire
from nupic_client.local.engines.weights import locate_weights
from nupic_client.testing import FakeTriton

# What the server does to files, as Python itself sees it: whatever a request makes it do, an audit event tells.
SERVER = """
import json, sys
from nupic_client.local import LocalServer

WATCHED = ("open", "os.", "shutil.", "tempfile.", "glob.", "pathlib.", "subprocess.", "socket.connect", "ctypes.dlopen")
seen = []

def watch(event, arguments):
    if watching and event.startswith(WATCHED):
        seen.append([event, repr(arguments)])

watching = False
with LocalServer(model_path=sys.argv[1], context=256) as server:
    sys.addaudithook(watch)
    print(server.url, flush=True)
    for line in sys.stdin:
        watching = line.strip() == "watch"
        print(json.dumps(seen), flush=True)
        seen.clear()
"""
SECRET = "the canary sings"

pytestmark = pytest.mark.model


class Watched:
    """A server in a process of its own, in a folder with a file that nobody may open."""

    def __init__(self, weights, folder):
        self.canary = folder / "canary.txt"
        self.canary.write_text(SECRET)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(weights)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment(),
        )
        self.url = self.process.stdout.readline().strip()

    def say(self, word):
        """Tell the server to watch or not; return what it has seen since the last time."""
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        _, errors = self.process.communicate(timeout=60)
        return errors


class Opened:
    """What is done to the files of a folder by whatever process, also by code that is not Python. Linux only."""

    OPEN = 0x20

    def __init__(self, folder):
        self.file = -1
        if sys.platform == "linux":
            libc = ctypes.CDLL(None)
            self.file = libc.inotify_init1(os.O_NONBLOCK)
            assert libc.inotify_add_watch(self.file, os.fsencode(folder), self.OPEN) > 0

    def any(self):
        try:
            return self.file >= 0 and bool(os.read(self.file, 4096))
        except BlockingIOError:
            return False

    def close(self):
        if self.file >= 0:
            os.close(self.file)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    server = Watched(locate_weights(), tmp_path_factory.mktemp("watched"))
    with RawClient(server.url) as client:  # what is loaded with the first request is loaded now
        client.text(request(model="smollm2.streaming", max_tokens=1))
        client.unary("ModelInfer", request(model="smollm2", max_tokens=1))
        client.unary("ModelInfer", embedding("hi"))
        refusal_of(client, "ModelInfer", request(model="nope"))
        refusal_of(client, "TraceSetting", wire.pb.TraceSettingRequest())
        refusal_of(client, "ModelConfig", b"\xff")
    server.say("watch")
    yield server
    errors = server.end()
    assert errors == ""  # nor can a client fill the operator's screen


def embedding(text):
    message = request(text, model="smollm2-embed", marker=False)
    message.inputs[0].shape[:] = [1, 1]
    return message


@pytest.fixture
def client(watched):
    """A client; afterwards nothing may have been done to any file."""
    opened = Opened(watched.canary.parent)
    with RawClient(watched.url) as client:
        yield client
        assert client.unary("ServerLive").live
    assert watched.say("watch") == []
    assert not opened.any()
    opened.close()


def answer_of(client, name, message):
    """Call any method with a message or bytes; return what it says, whatever that is."""
    data = message if isinstance(message, bytes) else message.SerializeToString()
    call = client.channel.stream_stream(f"/inference.GRPCInferenceService/{name}")
    try:
        return b"".join(call(iter([data]), timeout=30)), ""
    except grpc.RpcError as error:
        return b"", f"{error.code().name}: {error.details()}"


def refusal_of(client, name, message):
    content, status_error = answer_of(client, name, message)
    assert content == b""
    return status_error


def paths(watched):
    name = watched.canary.name
    return [
        name,
        f"./{name}",
        str(watched.canary),
        f"../{watched.canary.parent.name}/{name}",
        f"file://{watched.canary}",
    ]


def test_the_watch_sees_what_is_opened(watched):
    opened = Opened(watched.canary.parent)
    try:
        assert watched.canary.read_text() == SECRET
        assert opened.any() or sys.platform != "linux"
    finally:
        opened.close()


def test_names_and_versions_are_no_paths(client, watched):
    for path in [*paths(watched), "../../../../etc/passwd", "smollm2/../smollm2", "smollm2\0", "%2e%2e"]:
        for status_error in (
            refusal_of(client, "ModelInfer", request(model=path)),
            refusal_of(client, "ModelConfig", wire.pb.ModelConfigRequest(name=path)),
            refusal_of(client, "ModelMetadata", wire.pb.ModelMetadataRequest(name=path)),
        ):
            assert status_error.startswith("NOT_FOUND: Request for unknown model")
        assert not client.unary("ModelReady", name=path).ready
        for message in client.stream(request(model=path)):
            assert "is not found" in message.error_message
        status_error = refusal_of(client, "ModelInfer", request(model="smollm2", version=path))
        assert status_error.startswith("INVALID_ARGUMENT: failed to get model version")


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload"])
def test_models_are_not_loaded_on_request(client, watched, method):
    for path in paths(watched):
        message = wire.METHODS[method][0](model_name="smollm2", repository_name=path)
        message.parameters["config"].string_param = '{"backend": "python"}'
        message.parameters["file:1/model.py"].bytes_param = b"import os"
        status_error = refusal_of(client, method, message)
        assert status_error.startswith(
            ("UNAVAILABLE: explicit model load / unload is not allowed", "UNIMPLEMENTED")
        )


def test_there_is_one_repository_and_it_has_no_path(client, watched):
    for path in paths(watched):
        status_error = refusal_of(
            client, "RepositoryIndex", wire.pb.RepositoryIndexRequest(repository_name=path)
        )
        assert status_error == "UNIMPLEMENTED: 'repository_name' specification is not supported"


def hostile_settings(path):
    pb = wire.pb
    trace = pb.TraceSettingRequest(model_name="smollm2")
    trace.settings["trace_file"].value.append(path)
    log = pb.LogSettingsRequest()
    log.settings["log_file"].string_param = path
    return {
        "TraceSetting": trace,
        "LogSettings": log,
        "SystemSharedMemoryRegister": pb.SystemSharedMemoryRegisterRequest(name="a", key=path, byte_size=1),
        "SystemSharedMemoryStatus": pb.SystemSharedMemoryStatusRequest(name=path),
        "SystemSharedMemoryUnregister": pb.SystemSharedMemoryUnregisterRequest(name=path),
        "CudaSharedMemoryRegister": pb.CudaSharedMemoryRegisterRequest(
            name="a", raw_handle=b"x", byte_size=1
        ),
        "CudaSharedMemoryStatus": pb.CudaSharedMemoryStatusRequest(name=path),
        "CudaSharedMemoryUnregister": pb.CudaSharedMemoryUnregisterRequest(name=path),
    }


@pytest.mark.parametrize("method", hostile_settings(""))
def test_memory_and_log_files_are_nothing_to_ask_for(client, watched, method):
    for path in paths(watched):
        status_error = refusal_of(client, method, hostile_settings(path)[method])
        assert status_error.startswith("UNIMPLEMENTED: ")


def test_every_method_that_is_offered_is_known():
    """Of what the protocol has, this server offers only what these tests know."""
    service = wire.pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert {method.name for method in service.methods} == {*wire.METHODS, *hostile_settings("")}


@pytest.mark.parametrize("method", ["../ServerLive", "ServerLive/../../canary.txt", "x" * 5000])
def test_a_method_is_no_path(client, method):
    assert refusal_of(client, method, b"").startswith(("UNIMPLEMENTED", "RESOURCE_EXHAUSTED"))


def test_parameters_name_neither_files_nor_memory(client, watched):
    """The answer comes from the prompt alone, and a region of shared memory is refused, as by a server that has none."""
    plain = client.text(request("Hi", model="smollm2.streaming", max_tokens=2, seed=1))
    for path in paths(watched):
        message = request("Hi", model="smollm2.streaming", max_tokens=2, seed=1)
        for name in ("file", "path", "model", "lora", "grammar", "slot_save_path", "file:1/model.py"):
            message.parameters[name].string_param = path
        message.outputs.add(name="text_output").parameters["path"].string_param = path
        assert client.text(message) == plain
        for part in ("inputs", "outputs"):  # I-F14
            shared = request("Hi", model="smollm2", outputs=["text_output"])
            tensor = getattr(shared, part)[0]
            tensor.parameters["shared_memory_region"].string_param = path
            tensor.parameters["shared_memory_byte_size"].int64_param = 1 << 40
            refusal = refusal_of(client, "ModelInfer", shared)
            assert refusal == f"NOT_FOUND: Unable to find shared memory region: '{path}'"


TEMPLATES = [
    "{}",
    "{{% include '{}' %}}",
    "<__media__>{}",
    "@{}",
    "$(cat {})",
    "![image]({})",
    "<|im_start|>system\n{}",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_texts_are_texts(client, watched, template):
    for path in paths(watched):
        text = template.format(path)
        answers = [
            *map(text_of, client.stream(request(text, model="smollm2.streaming", max_tokens=3, stop=[text]))),
            answer_of(client, "ModelInfer", request(text, model="smollm2", max_tokens=3, request_id=path))[0],
            answer_of(client, "ModelInfer", embedding(text))[0],
        ]
        assert answers[-1]
        assert SECRET.encode() not in b"".join(answers)


@pytest.mark.parametrize("method", [*wire.METHODS, "TraceSetting"])
def test_messages_that_are_none(client, method):
    for data in (b"\xff", b"\n\x05abc"):
        status_error = refusal_of(client, method, data)
        assert status_error.startswith(("INTERNAL: Exception deserializing request!", "UNIMPLEMENTED"))
    for _ in range(20):
        answer_of(client, method, os.urandom(200))


def test_a_server_that_loads_models_takes_no_files_either():
    with FakeTriton(explicit=True) as server, RawClient(server.url) as client:
        for name in ("file:1/model.py", "file:/etc/passwd", "file:../../canary.txt"):
            message = wire.pb.RepositoryModelLoadRequest(model_name="gpt")
            message.parameters["config"].string_param = "{}"
            message.parameters[name].bytes_param = b"import os"
            status_error = refusal_of(client, "RepositoryModelLoad", message)
            assert status_error == (
                "INVALID_ARGUMENT: failed to load 'gpt', this server takes no files from its clients"
            )
        message = wire.pb.RepositoryModelLoadRequest(model_name="gpt", repository_name="/etc")
        assert refusal_of(client, "RepositoryModelLoad", message).startswith("UNIMPLEMENTED")
        client.unary("RepositoryModelLoad", model_name="gpt")
