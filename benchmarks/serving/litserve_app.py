"""LitServe with ONNX Runtime, in batches: image files come as they are, which spares it the base64 of its examples."""

import os
import sys
from typing import Annotated, Any

import litserve
from fastapi import Body

from benchmarks.serving.peer import Classifier

BATCH, WAIT = 32, 0.002  # seconds


class Images(litserve.LitAPI):  # type: ignore[misc]
    """Answers image files."""

    def setup(self, device: str) -> None:
        self.classifier = Classifier()

    def decode_request(self, request: Annotated[bytes, Body()]) -> Any:
        return self.classifier.decode(request)

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, x: list[Any]) -> list[Any]:
        return self.classifier.answers(x)

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> Any:
        return output


if __name__ == "__main__":
    port, workers, servers = map(int, sys.argv[1:4])
    os.environ.setdefault("LITSERVE_LOG_LEVEL", "ERROR")
    api = Images(max_batch_size=BATCH, batch_timeout=WAIT, api_path="/")
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=workers, fast_queue=True, track_requests=False
    )
    server.run(host="127.0.0.1", port=port, num_api_servers=servers, log_level="error", generate_client_file=False)
