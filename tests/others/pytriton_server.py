"""A server made with pytriton: ``python pytriton_server.py GRPC_PORT HTTP_PORT METRICS_PORT`` serves two models.

``squares`` is a generator of numbers, each a response of its own; ``double`` answers once.
"""

import sys
import time

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def squares(requests):
    """Give the squares below a number: for each response a list with one answer a request."""
    (request,) = requests
    for number in range(int(request.data["count"][0])):
        if number == 5:
            raise ValueError("five is too much")
        time.sleep(0.01)
        yield [{"square": np.array([number**2], np.int64), "root": np.array([number], np.float32)}]


@batch
def double(x):
    """Answer once."""
    return {"y": x * 2}


if __name__ == "__main__":
    grpc_port, http_port, metrics_port = map(int, sys.argv[1:])
    config = TritonConfig(
        grpc_address="127.0.0.1",
        grpc_port=grpc_port,
        http_address="127.0.0.1",
        http_port=http_port,
        metrics_port=metrics_port,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="squares",
            infer_func=squares,
            inputs=[Tensor(name="count", dtype=np.int32, shape=(1,))],
            outputs=[
                Tensor(name="square", dtype=np.int64, shape=(1,)),
                Tensor(name="root", dtype=np.float32, shape=(1,)),
            ],
            config=ModelConfig(batching=False, decoupled=True),
        )
        triton.bind(
            model_name="double",
            infer_func=double,
            inputs=[Tensor(name="x", dtype=np.float32, shape=(-1,))],
            outputs=[Tensor(name="y", dtype=np.float32, shape=(-1,))],
            config=ModelConfig(max_batch_size=8),
        )
        triton.serve()
