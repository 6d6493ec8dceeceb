import numpy as np

from neocog.model.files import read_tensor_file, tensor_bytes
from neocog.model.writing import write_atomically


def test_tensors_come_back_bit_for_bit_with_their_document(tmp_path):
    values = {
        "b": np.array([[1.5, np.nan, np.inf, -0.0, 1e-45]], np.float32),
        "a": np.zeros((0, 3), np.float32),
        "c": np.float32(2).reshape(()),
    }
    path = tmp_path / "file"
    write_atomically(path, tensor_bytes({"note": "Äffchen 猫"}, values))
    content = read_tensor_file(path)
    assert content.document == {"note": "Äffchen 猫"}
    for name, value in values.items():
        assert content.tensors[name].shape == value.shape
        assert content.tensors[name].tobytes() == value.tobytes()


def test_the_digest_is_that_of_the_bytes_behind_the_header(tmp_path):
    import hashlib
    import json
    import struct

    content = tensor_bytes({}, {"b": np.ones(3, np.float32), "a": np.zeros(2, np.float32)})
    (length,) = struct.unpack("<Q", content[:8])
    document = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["neocog"])
    assert document["sha256"] == hashlib.sha256(content[8 + length :]).hexdigest()
