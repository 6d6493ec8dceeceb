"""FastAPI with ONNX Runtime: an endpoint that does not block, for `uvicorn --workers 2`, each on one thread."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from benchmarks.serving.peer import Classifier

app = FastAPI()
classifier = Classifier()


def _classify(body: bytes) -> Any:
    return classifier.answers([classifier.decode(body)])[0]


@app.post("/")  # type: ignore[untyped-decorator]
async def classify(request: Request) -> JSONResponse:
    """Answer an image file."""
    return JSONResponse(await run_in_threadpool(_classify, await request.body()))
