"""Files made by hand to do harm: what they look like on the disk, and what they say of a model and of a fit.

Written after the format's own words, not by jaxae: its root is computed here as whoever means harm would.
"""

import hashlib
import io
import json
import os
import pickle
import socket
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["CONTENTS", "FITS", "MODELS", "PLACES", "Good", "signed"]

NAMES = {"float32": "F32", "float64": "F64", "int32": "I32", "uint8": "U8", "bool": "BOOL"}
MIB = 2**20


class Good(NamedTuple):
    """The file that hostile ones are made of.

    Attributes:
        config: of its metadata.
        arrays: {name: array}.
        form: of its metadata.
    """

    config: Any
    arrays: Mapping[str, np.ndarray]
    form: str

    @property
    def header(self) -> dict[str, Any]:
        """The header of the file, as it should be."""
        content = signed(self.config, self.arrays, self.form)
        return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])

    @property
    def body(self) -> bytes:
        """The bytes of its arrays."""
        return b"".join(array.tobytes() for array in self.arrays.values())


def framed(header: Any, body: bytes = b"") -> bytes:
    """Return a file with this header, JSON or bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def signed(config: Any, arrays: Mapping[str, np.ndarray], form: str, /, **about: Any) -> bytes:
    """Return a file whose root is that of its content; config may be text."""
    text = config if isinstance(config, str) else json.dumps(config)
    root = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    header: dict[str, Any] = {}
    place = 0
    for name, array in arrays.items():
        end = place + array.nbytes
        header[name] = {"dtype": NAMES[array.dtype.name], "shape": list(array.shape), "data_offsets": [place, end]}
        place = end
    for name in sorted(arrays):
        array = arrays[name]
        root.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode("utf-8", "surrogatepass") + array.tobytes())
    told = {"format": form, "version": "1", "config": text, "sha256": root.hexdigest()} | about
    header["__metadata__"] = {name: value for name, value in told.items() if value is not None}
    return framed(header, b"".join(array.tobytes() for array in arrays.values()))


def _changed(good: Good, change: Callable[[dict[str, Any]], Any]) -> bytes:
    header = good.header
    change(header)
    return framed(header, good.body)


def _first(header: dict[str, Any]) -> dict[str, Any]:
    return next(entry for name, entry in header.items() if name != "__metadata__")


def _entry(**values: Any) -> Callable[[Good], bytes]:
    return lambda good: _changed(good, lambda header: _first(header).update(values))


def _twice(good: Good) -> bytes:
    """Return a header with the first array in it twice."""
    text = json.dumps(good.header)
    name = next(iter(good.arrays))
    return framed(f"{{{json.dumps(name)}: {json.dumps(good.header[name])}, {text[1:]}".encode(), good.body)


class Harm:
    """What a pickle runs when it is loaded."""

    def __reduce__(self) -> Any:
        return os.system, ("touch harm",)


def _zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Harm()], dtype=object), allow_pickle=True)
    return file.getvalue()


CONTENTS: dict[str, Callable[[Good], bytes]] = {
    "empty": lambda good: b"",
    "one byte": lambda good: b"{",
    "seven bytes": lambda good: bytes(7),
    "a header of nothing": lambda good: bytes(8),
    "a header of 2**64 − 1 bytes": lambda good: b"\xff" * 8 + b"{}",
    "a header of 2**63 bytes": lambda good: (2**63).to_bytes(8, "little") + b"{}",
    "a header longer than the file": lambda good: (len(good.body) + 100).to_bytes(8, "little") + good.body,
    "a header of 200 MiB": lambda good: framed(b"{" + b" " * 200 * MIB + b"}"),
    "lists in lists": lambda good: framed(b"[" * (MIB - 8)),
    "objects in objects": lambda good: framed(b'{"a":' * (MIB // 5 - 8)),
    "a million objects": lambda good: framed(b"[" + b",".join([b'{"":0}'] * (MIB // 7 - 8)) + b"]"),
    "a million empty lists": lambda good: framed(b"[" + b",".join([b"[]"] * (MIB // 3 - 8)) + b"]"),
    "a number of a million digits": lambda good: framed(b'{"a":' + b"9" * (MIB - 100) + b"}"),
    "a number that is infinite": lambda good: framed(b'{"a":1e999}'),
    "a number that is none": lambda good: framed(b'{"a":NaN}'),
    "no UTF-8": lambda good: framed(b'{"\xff\xfe": 0}'),
    "UTF-16": lambda good: framed(json.dumps(good.header).encode("utf-16"), good.body),
    "a byte order mark": lambda good: framed(b"\xef\xbb\xbf" + json.dumps(good.header).encode(), good.body),
    "a header that is a list": lambda good: framed([good.header], good.body),
    "a header that is a word": lambda good: framed('"__metadata__"', good.body),
    "a header and something more": lambda good: framed(json.dumps(good.header).encode() + b"{}", good.body),
    "one name twice": _twice,
    "metadata twice": lambda good: framed(
        b'{"__metadata__":{"format":"x"},' + json.dumps(good.header).encode()[1:], good.body
    ),
    "offsets twice": lambda good: framed(
        json.dumps(good.header).encode().replace(b'"data_offsets"', b'"data_offsets":[0,4],"data_offsets"', 1),
        good.body,
    ),
    "offsets that overlap": _entry(data_offsets=[4, 36]),
    "offsets beyond the end": _entry(data_offsets=[2**40, 2**40 + 32]),
    "offsets below 0": _entry(data_offsets=[-32, 0]),
    "offsets that are fractions": _entry(data_offsets=[0.0, 32.0]),
    "offsets the wrong way round": _entry(data_offsets=[32, 0]),
    "three offsets": _entry(data_offsets=[0, 16, 32]),
    "offsets that are words": _entry(data_offsets=["0", "32"]),
    "a shape of 2**40": _entry(shape=[2**40]),
    "a shape whose product wraps round": _entry(shape=[2**32, 2**32]),
    "a shape of nothing times everything": _entry(shape=[0, 2**59, 2**59], data_offsets=[0, 0]),
    "a shape of a million sides": _entry(shape=[1] * 100_000),
    "a shape that is true": _entry(shape=[True, 8]),
    "a shape in a shape": _entry(shape=[[8]]),
    "a shape below 0": _entry(shape=[-1, -8]),
    "a dtype of objects": _entry(dtype="OBJECT"),
    "a dtype in small letters": _entry(dtype="f32"),
    "a dtype that is a list": _entry(dtype=["F32"]),
    "a dtype that is narrower": _entry(dtype="F16"),
    "an entry of more": _entry(code="import os"),
    "an entry that is a list": lambda good: _changed(good, lambda header: header.update(more=[0, 1])),
    "no metadata": lambda good: _changed(good, lambda header: header.pop("__metadata__")),
    "metadata that are a list": lambda good: _changed(good, lambda header: header.update(__metadata__=[])),
    "metadata of more": lambda good: signed(good.config, good.arrays, good.form, code="import os"),
    "metadata without a root": lambda good: signed(good.config, good.arrays, good.form, sha256=None),
    "metadata of numbers": lambda good: signed(good.config, good.arrays, good.form, config=1),
    "another root": lambda good: signed(good.config, good.arrays, good.form, sha256="0" * 64),
    "an empty root": lambda good: signed(good.config, good.arrays, good.form, sha256=""),
    "another format": lambda good: signed(good.config, good.arrays, "pt"),
    "a later version": lambda good: signed(good.config, good.arrays, good.form, version="2"),
    "a version with a space": lambda good: signed(good.config, good.arrays, good.form, version="1 "),
    "a config that is a list": lambda good: signed([], good.arrays, good.form),
    "a config that is no JSON": lambda good: signed("import os", good.arrays, good.form),
    "a config of lists in lists": lambda good: signed("[" * 500_000, good.arrays, good.form),
    "a config with a name twice": lambda good: signed('{"model":1,"model":2}', good.arrays, good.form),
    "a config with half a sign": lambda good: framed(
        json.dumps(good.header).encode().replace(b'"config": "', b'"config": "\\ud800', 1), good.body
    ),
    "a pickle": lambda good: pickle.dumps(Harm()),
    "a pickle behind a header": lambda good: framed(good.header, pickle.dumps(Harm())),
    "a zip": lambda good: _zipped("archive/data.pkl", pickle.dumps(Harm())),
    "an npz with a pickle": lambda good: _zipped("w.npy", _npy()),
    "an npy with a pickle": lambda good: _npy(),
    "a program": lambda good: b"\x7fELF\x02\x01\x01" + bytes(57),
    "a script": lambda good: b"#!/bin/sh\ntouch harm\n",
}
"""By name, what the bytes of the file are."""


def _named(name: str) -> Callable[[Good], bytes]:
    """Return a file whose first array has another name."""

    def make(good: Good) -> bytes:
        (_, first), *others = good.arrays.items()
        return signed(good.config, {name: first, **dict(others)}, good.form)

    return make


for _what, _name in {
    "a name with a line in it": "variables/params/a\nb",
    "a name that turns the line round": "variables/params/\u202ew",
    "a name with half a sign": "variables/params/\ud800",
    "a name that clears the screen": "variables/params/\x1b[2J",
    "a name in look-alike letters": "v\u0430riables/params/encoder/Dense_0/kernel",
    "a name that begins at the root": "/etc/passwd",
    "a name that goes up": "variables/../../etc/passwd",
    "a name that is empty": "",
    "a name of 100,000 letters": "variables/" + "a" * 100_000,
    "a name of 400 parts": "/".join(["variables", *["a"] * 400]),
}.items():
    CONTENTS[_what] = _named(_name)


def _more(name: str, array: np.ndarray) -> Callable[[Good], bytes]:
    return lambda good: signed(good.config, {**good.arrays, name: array}, good.form)


def _array(name: str, change: Callable[[np.ndarray], np.ndarray | None]) -> Callable[[Good], bytes]:
    """Return a file in which an array is another one, or gone."""

    def make(good: Good) -> bytes:
        arrays = {own: change(array.copy()) if own == name else array for own, array in good.arrays.items()}
        return signed(good.config, {own: array for own, array in arrays.items() if array is not None}, good.form)

    return make


def _put(value: Any) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array.flat[-1] = value
        return array

    return change


def _model(model: Any, **config: Any) -> Callable[[Good], bytes]:
    """Return a file of another model, or one that takes other examples."""
    return lambda good: signed(
        good.config | ({} if model is None else {"model": model}) | config, good.arrays, good.form
    )


def _autoencoder(encoder: Any, decoder: Any = None) -> Any:
    return {"AE": {"encoder": encoder, "decoder": decoder or {"MLP": {"widths": [4]}}}}


def _encoder(*stages: Any, **settings: Any) -> Any:
    return _autoencoder({"ConvEncoder": {"stages": [{"Stage": stage} for stage in stages], **settings}})


def _small(**config: Any) -> Callable[[Good], bytes]:
    """Return a file of a model with a few numbers, all of them of one kernel that fits what is described."""
    return lambda good: signed(good.config | config, {"variables/params/w": np.ones(4, np.float32)}, good.form)


def _deep(good: Good) -> bytes:
    """Return a file of nearly 400 layers, of which but one is as the model needs it."""
    count = 395
    layers = {f"encoder/Dense_{i}": (4 if i == 0 else 1, 1) for i in range(count)} | {"decoder/Dense_0": (4, 1)}
    arrays = {
        f"variables/params/{layer}/{leaf}": np.ones(shape if leaf == "kernel" else shape[1:], np.float32)
        for layer, shape in layers.items()
        for leaf in ("bias", "kernel")
    }
    return signed(good.config | {"model": _autoencoder({"MLP": {"widths": [1] * count}})}, arrays, good.form)


KERNEL = "variables/params/encoder/Dense_0/kernel"
DEEP: Any = {"MLP": {"widths": [4]}}
for _ in range(200):
    DEEP = {"Sequential": {"layers": [DEEP]}}
IMAGE = {"x": {"shape": [8, 8, 1], "dtype": "float32"}}
MODELS: dict[str, Callable[[Good], bytes]] = {
    "a module of the system": _model({"os.system": {"command": "touch harm"}}),
    "a module by its path": _model({"jaxae.models.AE": {}}),
    "a module by path and colon": _model({"builtins:exec": {"source": "open('harm','w')"}}),
    "__import__": _model({"__import__": {"name": "os"}}),
    "eval": _model({"eval": {"source": "1"}}),
    "a lambda": _model(_autoencoder({"MLP": {"widths": [4], "activation": "lambda x: x"}})),
    "a lambda that is named": _model(_autoencoder({"MLP": {"widths": [4], "activation": {"lambda x: x": {}}}})),
    "a class of another name": _model({"__class__": {"__reduce__": []}}),
    "a partial": _model({"partial": {"func": "os.system", "args": ["touch harm"]}}),
    "two modules in one": _model({"AE": {}, "VAE": {}}),
    "no module": _model({}),
    "a module that is a word": _model("AE"),
    "a module that is null": _model({"AE": None}),
    "a module without its fields": _model({"AE": {}}),
    "a field that is not there": _model(_autoencoder({"MLP": {"widths": [4], "hook": "import os"}})),
    "a field that draws": _model(_autoencoder({"MLP": {"widths": [4], "kernel_init": "os.system"}})),
    "a parent": _model({"AE": {"parent": {"AE": {}}, "encoder": None, "decoder": None}}),
    "a setting that no activation has": _model(
        _autoencoder({"MLP": {"widths": [4], "activation": {"relu": {"x": 1}}}})
    ),
    "a name that goes up by its module": _model(_autoencoder({"MLP": {"widths": [4], "name": "../../etc"}})),
    "a word that clears the screen": _model(_autoencoder({"Sequential": {"layers": ["\x1b[2J", "\u202e"]}})),
    "modules 200 deep": _model(DEEP),
    "100,000 layers": _model(_autoencoder({"MLP": {"widths": [4] * 100_000}})),
    "1,900 layers": _model(_autoencoder({"MLP": {"widths": [4] * 1900}})),
    "1,900 activations": _model(_autoencoder({"Sequential": {"layers": [{"relu": {}}] * 950}})),
    "a billion blocks": _model(_encoder({"features": 1}, residual=10**9), **IMAGE),
    "a layer of 2**31 units": _model(_autoencoder({"MLP": {"widths": [2**31 - 1]}})),
    "a layer of 10**30 units": _model(_autoencoder({"MLP": {"widths": [10**30]}})),
    "a layer of −1 units": _model(_autoencoder({"MLP": {"widths": [-1]}})),
    "a layer of half a unit": _model(_autoencoder({"MLP": {"widths": [0.5]}})),
    "a layer of true units": _model(_autoencoder({"MLP": {"widths": [True]}})),
    "a layer of units in a word": _model(_autoencoder({"MLP": {"widths": "4" * 1000}})),
    "a slope that is infinite": lambda good: signed(
        json.dumps(good.config).replace('"relu": {}', '"leaky_relu": {"negative_slope": 1e999}'), good.arrays, good.form
    ),
    "a slope that is no number": lambda good: signed(
        json.dumps(good.config).replace('"relu": {}', '"leaky_relu": {"negative_slope": NaN}'), good.arrays, good.form
    ),
    "a kernel of a million pixels a side": _model(_encoder({"features": 1, "kernel": 10**6}), **IMAGE),
    "kernels of 64 and no end of them": _model(
        _encoder(*[{"features": 1, "kernel": 64, "padding": 63}] * 300), **IMAGE
    ),
    "strides of 64": _model(
        _autoencoder(
            {"MLP": {"widths": [4]}},
            {
                "ConvDecoder": {
                    "start": [8, 8, 1],
                    "stages": [{"Stage": {"features": 1, "kernel": 64, "stride": 64, "padding": 0}}] * 20,
                }
            },
        )
    ),
    "an image of 10**5 pixels a side": _model(_encoder({"features": 1}, image=[10**5, 10**5, 1])),
    "images as large": _model(_encoder({"features": 1}), x={"shape": [10**5, 10**5, 1], "dtype": "float32"}),
    "images enlarged without end": _model(
        _autoencoder(
            {"MLP": {"widths": [4]}},
            {"ConvDecoder": {"start": [10**4, 1, 1], "resize": True, "stages": [{"Stage": {"features": 1}}] * 30}},
        )
    ),
    "a long image enlarged": _model(
        {"Sequential": {"layers": [{"ResizeConv": {"features": 1, "kernel_size": 3, "scale": 8}}]}},
        x={"shape": [20_000, 1, 1], "dtype": "float32"},
    ),
    "a model of no methods": _model({"relu": {}}),
    "a model that is a stage": _model({"Stage": {"features": 1}}),
    "examples of 2**80 numbers": _model(None, x={"shape": [2**31 - 1] * 3, "dtype": "float32"}),
    "examples of a hundred sides": _model(None, x={"shape": [1] * 100, "dtype": "float32"}),
    "examples of objects": _model(None, x={"shape": [4], "dtype": "object"}),
    "examples of a structure": _model(None, x={"shape": [4], "dtype": [["a", "O"]]}),
    "examples of nothing": _model(None, x=None),
    "examples of −1": _model(None, x={"shape": [-1], "dtype": "float32"}),
    "a config of more": _model(None, code="import os"),
    "a config of less": lambda good: signed({"model": good.config["model"]}, good.arrays, good.form),
    "a NaN": _array(KERNEL, _put(np.nan)),
    "an infinity": _array(KERNEL, _put(-np.inf)),
    "an array gone": _array(KERNEL, lambda array: None),
    "an array turned": _array(KERNEL, lambda array: array.T.copy()),
    "an array of another dtype": _array(KERNEL, lambda array: array.astype(np.float64)),
    "an array of whole numbers": _array(KERNEL, lambda array: array.view(np.int32)),
    "an array of one number": _array(KERNEL, lambda array: array[:1, :1].copy()),
    "an array more": _more("variables/params/more", np.ones(1, np.float32)),
    "a collection more": _more("variables/code/w", np.ones(1, np.float32)),
    "an array beside the variables": _more("code", np.ones(1, np.float32)),
    "an array that holds others": _more("variables/params/encoder", np.ones(1, np.float32)),
    "neither true nor false": _more("flag", np.frombuffer(b"\x02", np.bool_)),
    "a function of floats": _more("functions/encode", np.ones(1, np.float32)),
    "a function that goes up": _more("functions/a b", np.ones(1, np.uint8)),
    "2,500 arrays": lambda good: signed(
        good.config, {f"variables/params/w{i}": np.ones(1, np.float32) for i in range(2500)}, good.form
    ),
    "as many layers as are allowed, the last turned": lambda good: _deep(good),
    "an image just allowed": _model(
        {"Sequential": {"layers": [{"Conv": {"features": 1, "kernel_size": 3}}]}},
        x={"shape": [1240, 1240, 1], "dtype": "float32"},
    ),
    "an enlargement just allowed": _model(
        {"Sequential": {"layers": [{"ResizeConv": {"features": 1, "kernel_size": 3}}]}},
        x={"shape": [540, 540, 1], "dtype": "float32"},
    ),
    "a stride just allowed": _model(
        _autoencoder(
            {"MLP": {"widths": [3]}},
            {"ConvDecoder": {"start": [1, 1, 1], "stages": [{"Stage": {"features": 1, "kernel": 24, "stride": 24}}]}},
        )
    ),
    "a few arrays for images": _small(model=_encoder({"features": 1}, residual=1000), **IMAGE),
}
"""By name, what a file says of a model and its arrays, with a root that fits."""

FITS: dict[str, Callable[[Good], bytes]] = {
    "a record that is a list": lambda good: signed(good.config | {"record": []}, good.arrays, good.form),
    "no collections": lambda good: signed({"record": {}}, good.arrays, good.form),
    "collections of lists": lambda good: signed(good.config | {"collections": [[]]}, good.arrays, good.form),
    "a NaN among the parameters": _array("variables/params/w", _put(np.nan)),
    "an infinity among the last parameters": _array("state/variables/params/w", _put(np.inf)),
    "no step": _array("state/step", lambda array: None),
    "a step of fractions": _array("state/step", lambda array: array.astype(np.float32)),
    "no status": _array("status/epochs", lambda array: None),
    "a status of two": _array("status/epochs", lambda array: np.zeros(2, np.int32)),
    "seeds of a table": _more("seeds", np.zeros((1, 1), np.int32)),
    "more seeds than members": _more("seeds", np.zeros(9, np.int32)),
    "an optimizer that begins at 7": _more("state/opt_state/7", np.ones(1, np.float32)),
    "variables that hold others": _more("variables/params/w/w", np.ones(1, np.float32)),
    "an array of no part": _more("code", np.ones(1, np.float32)),
}
"""By name, what a file says of a fit and its arrays, with a root that fits."""


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as own:
        # The name of a socket is short.
        own.bind(os.path.relpath(path))


def _sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(10 * 2**30)


PLACES: dict[str, Callable[[Path], None]] = {
    "nothing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a socket": _socket,
    "a link to a device without end": lambda path: path.symlink_to("/dev/zero"),
    "a link to the terminal": lambda path: path.symlink_to("/dev/tty"),
    "a link to nothing": lambda path: path.symlink_to(path.with_name("nothing")),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to a folder": lambda path: path.symlink_to("/"),
    "10 GiB of holes": _sparse,
}
"""By name, what is in the place of the file."""
