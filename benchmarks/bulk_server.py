"""A gRPC server for large tensors: ``python -m benchmarks.bulk_server BYTES``. It does not parse and does not compute.

The model ``upload`` takes any bytes and answers with one number, ``download`` answers a number with that many bytes of
FP32; their messages are made once. It prints its port and ends with its standard input.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from nupic_client._core.kserve import wire

UPLOAD, DOWNLOAD = "upload", "download"
SERVICE = "inference.GRPCInferenceService"


def model_config(name: str) -> bytes:
    response = wire.pb.ModelConfigResponse()
    config = response.config
    config.name = name
    kinds = wire.pb.model__config__pb2.DataType
    config.input.add(name="data", data_type=kinds.Value("TYPE_FP32"), dims=[-1])
    config.output.add(name="result", data_type=kinds.Value("TYPE_FP32"), dims=[-1])
    return response.SerializeToString()


def answer(size: int) -> bytes:
    response = wire.pb.ModelInferResponse(model_name="bulk", model_version="1")
    response.outputs.add(name="result", datatype="FP32", shape=[size // 4])
    response.raw_output_contents.append(bytes(size))
    return response.SerializeToString()


def serve(size: int) -> None:
    small, large = answer(4), answer(size)

    def infer(request: bytes, _: Any) -> bytes:
        return small if len(request) > size else large

    def config(request: bytes, _: Any) -> bytes:
        return model_config(wire.pb.ModelConfigRequest.FromString(request).name)

    # Without serializers the handlers get and give bytes.
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(function)
        for name, function in (("ModelInfer", infer), ("ModelConfig", config))
    }
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(2), options=unlimited)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()  # the parent is gone when this returns
    server.stop(None)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
