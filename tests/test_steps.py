"""Steps of a fit on disk: read as they were written, or refused by name."""

import gc
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxae.checkpoint import DamagedError, Keep, Steps
from jaxae.checkpoint.steps import _checksums

RECORD = {"key": [0, 1], "seeds": None, "hparams": {"lr": [0.1, 1e-3]}}


def arrays():
    return {
        "params/w": jax.random.normal(jax.random.key(0), (30, 4)),
        "params/b": jnp.zeros(3, jnp.bfloat16),
        "step": jnp.int32(7),
        "training": jnp.asarray([True, False]),
        "nothing": jnp.zeros((0, 2)),
        "history/loss": np.float32([3, 2, np.nan]),
    }


def bits(array):
    return np.asarray(array).tobytes()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps") / "fit"
    steps = Steps(folder, Keep())
    steps.claim()
    assert steps.finished() is None and not steps.saving
    for epoch in (3, 8):
        steps.save(epoch, arrays(), RECORD, 1 / epoch)
        assert steps.finished() == epoch
    steps.close()
    return folder


def test_what_is_read_is_what_was_written(written):
    steps = Steps(written, Keep())
    assert steps.epochs() == [3, 8]
    about = steps.about(8)
    assert (about["epoch"], about["record"]) == (8, RECORD)
    like = jax.tree.map(jnp.zeros_like, arrays()) | {"history/loss": np.zeros(3, np.float32)}
    found = steps.read(8, like)
    for name, array in arrays().items():
        assert (found[name].dtype, bits(found[name])) == (array.dtype, bits(array)), name
    assert isinstance(found["history/loss"], np.ndarray)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_arrays_may_be_spread_otherwise(written, tmp_path, devices):
    def spread(count):
        mesh = jax.make_mesh((count,), ("members",), axis_types=(AxisType.Auto,))
        return {"w": jax.device_put(jnp.arange(24.0).reshape(8, 3), NamedSharding(mesh, PartitionSpec("members")))}

    steps = Steps(tmp_path / "fit", Keep())
    steps.save(1, spread(2), RECORD, np.inf)
    steps.finished()
    found = steps.read(1, spread(devices))["w"]
    assert found.sharding == spread(devices)["w"].sharding
    np.testing.assert_array_equal(found, np.arange(24).reshape(8, 3))


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def damages(content, number):
    """Return the content damaged in one of several ways."""
    place = number % max(len(content), 1)
    flipped = content[:place] + bytes([content[place] ^ (1 << number % 8)]) + content[place + 1 :] if content else b"x"
    return [flipped, content[:place], content + b"\0" * 9, bytes(len(content)), None][number % 5]


def test_a_damaged_step_is_refused_or_harmless(written, tmp_path, caplog):
    """Every file in every way: what is read is what was written, or it is refused with path and reason."""
    like, refused, read = arrays() | {"history/loss": np.zeros(3, np.float32)}, 0, 0
    gc.freeze()  # every refusal collects: not what the tests before have left
    for which, path in enumerate(files(written / "8")):
        for number in range(which, which + 5):
            folder = tmp_path / "fit"
            shutil.copytree(written, folder)
            own = folder / path.relative_to(written)
            after = damages(own.read_bytes(), number)
            own.unlink()
            if after is not None:
                own.write_bytes(after)
            try:
                found = Steps(folder, Keep()).read(8, like)
            except DamagedError as error:
                refused += 1
                assert str(folder / "8") in str(error) and len(str(error)) <= 300
            else:
                read += 1
                assert all(bits(found[name]) == bits(array) for name, array in arrays().items()), (path, number)
            shutil.rmtree(folder)
    assert refused > 10 and read > 10
    gc.collect()
    gc.unfreeze()
    assert not [record for record in caplog.records if record.name == "asyncio"]  # Orbax's other reads


def test_wrong_numbers_are_refused_by_their_name(written, tmp_path):
    """Orbax itself takes them as they come."""
    other = Steps(tmp_path / "fit", Keep())
    other.save(8, arrays() | {"params/w": arrays()["params/w"].at[29, 3].add(1e-6)}, RECORD, 1.0)
    other.finished()
    shutil.rmtree(other.folder / "8" / "about")
    shutil.copytree(written / "8" / "about", other.folder / "8" / "about")
    with pytest.raises(DamagedError, match=r"8 is damaged: params/w is not what was written"):
        Steps(other.folder, Keep()).read(8, arrays())


def test_two_processes_do_not_write_at_once(tmp_path):
    first, second = (Steps(tmp_path / "fit", Keep()) for _ in range(2))
    first.claim()
    with pytest.raises(ValueError, match="is being written to by another process"):
        second.claim()
    first.close()
    second.claim()
    second.close()


def test_the_best_is_remembered_by_the_next_process(tmp_path):
    for epoch, value in ((1, 3.0), (2, 1.0), (3, 2.0), (4, 5.0), (5, 4.0)):
        steps = Steps(tmp_path / "fit", Keep(last=1, best=1))
        steps.claim()
        steps.save(epoch, arrays(), RECORD, value)
        steps.finished()
        steps.close()
    assert steps.epochs() == [2, 5]


def test_what_is_set_aside_can_be_saved_again(written, tmp_path):
    shutil.copytree(written, tmp_path / "fit")
    steps = Steps(tmp_path / "fit", Keep())
    for _ in range(2):
        steps.set_aside(8)
        assert steps.epochs() == [3]
        steps.save(8, arrays(), RECORD, 1.0)
        steps.finished()
    assert steps.epochs() == [3, 8] and steps.about(8)["epoch"] == 8


def test_a_disk_that_cannot_be_reached_is_no_damage(written, monkeypatch):
    steps = Steps(written, Keep())

    def stale(*_, **__):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("jaxae.checkpoint.steps.restored", stale)
    with pytest.raises(OSError, match="Stale"):
        steps.about(8)


def test_another_version_is_refused(tmp_path, monkeypatch):
    steps = Steps(tmp_path / "fit", Keep())
    with monkeypatch.context() as patch:
        patch.setattr("jaxae.checkpoint.steps.VERSION", 2)
        steps.save(1, arrays(), RECORD, 1.0)
        steps.finished()
    with pytest.raises(ValueError, match=r"version 2, but this program reads 'jaxae.steps' version 1"):
        steps.about(1)


@given(st.integers(0, 99), st.integers(0, 31), st.sampled_from(["float32", "int32", "uint8", "bool", "float16"]))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_changes_both_sums(place, bit, dtype):
    values = np.random.default_rng(0).integers(0, 2, 100).astype(dtype)
    before = _checksums({"a": values})["a"]
    words = values.view(np.uint8).copy()
    if dtype == "bool":
        words[place] ^= 1
    else:
        words[place * values.itemsize + bit // 8 % values.itemsize] ^= 1 << bit % 8
    after = _checksums({"a": words.view(values.dtype)})["a"]
    assert (np.asarray(before) != np.asarray(after)).all()


def test_swapped_and_shifted_numbers_change_the_sums():
    values = np.arange(1, 50, dtype=np.float32)
    swapped = values.copy()
    swapped[[3, 40]] = swapped[[40, 3]]
    before = np.asarray(_checksums({"a": values})["a"])
    for other in (swapped, np.roll(values, 1), values[::-1].copy(), np.zeros_like(values)):
        assert (np.asarray(_checksums({"a": other})["a"]) != before).all()
