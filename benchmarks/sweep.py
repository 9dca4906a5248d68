"""A sweep of 256 members beside single runs of some of them: `JAXAE_DATA=… python -m benchmarks.sweep`.

The variational autoencoder 21 → 128 → 64 → 4, mirrored, on the cardiotocography table of ADBench (2,114 rows, anomalies
included, standardised, four fifths of them trained on at once), 150 epochs: four learning rates, four weights of the
divergence, 16 seeds, one program. Sixteen members, one of every combination, are then trained alone with their own
keys, and compared with what the sweep made of them. Writes `benchmarks/results/sweep.json`.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

import jaxae as ja
from jaxae.networks import MLP

RESULTS = Path(__file__).parent / "results" / "sweep.json"
TABLE = "adbench/7_Cardiotocography.npz"
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
BETAS = (0.25, 0.5, 1.0, 2.0)
SEEDS = 16
EPOCHS = 150


def main() -> None:
    """Train the sweep and the sample, compare them, and write the file."""
    jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    with np.load(Path(os.environ["JAXAE_DATA"]) / TABLE) as file:
        values = np.random.default_rng(0).permutation(file["X"].astype(np.float32))
    train, test = np.split(values, [len(values) * 4 // 5])
    mean, scale = train.mean(0), np.where(train.std(0) > 0, train.std(0), 1)
    data, held_out = (ja.Batch((part - mean) / scale) for part in (train, test))
    columns = values.shape[1]
    vae = ja.models.VAE(MLP((128, 64), activate_final=True), MLP((64, 128, columns)), latent=4)

    def learner(rate: Any, beta: Any) -> ja.Learner:
        loss = ja.objective(vae, ja.losses.elbo, nll=ja.distributions.squared_error, beta=beta)
        return ja.descend(loss, optax.adam(rate))

    shared: dict[str, Any] = {
        "epochs": EPOCHS,
        "batch_size": len(data.x),
        "validation": held_out,
        "score": ja.score(vae, ja.losses.elbo, nll=ja.distributions.squared_error),
        "progress": False,
    }
    axes = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((jax.device_count(),), ("members",), axis_types=axes)
    key = jax.random.key(0)
    began = time.perf_counter()
    many = ja.fit(
        vae, learner, data, key=key, hparams=ja.grid(rate=RATES, beta=BETAS), seeds=SEEDS, mesh=mesh, **shared
    )
    sweep_s = time.perf_counter() - began
    rows, single_s = [], []
    for point in range(len(RATES) * len(BETAS)):
        member = point * SEEDS + point
        rate, beta, seed = (float(many.hparams["rate"][member]), float(many.hparams["beta"][member]), point)
        began = time.perf_counter()
        own_key = jax.random.fold_in(key, seed)
        alone = ja.fit(vae, learner(np.float32(rate), np.float32(beta)), data, key=own_key, **shared)
        single_s.append(time.perf_counter() - began)
        own = many.take(member)
        pairs = list(zip(*map(jax.tree.leaves, (own.variables, alone.variables)), strict=True))
        size = max(float(np.abs(b).max()) for _, b in pairs)
        rows.append(
            {
                "member": member,
                "rate": rate,
                "beta": beta,
                "seed": seed,
                "loss": float(alone.history["loss"][-1]),
                "largest_relative_difference_of_losses": float(
                    np.max(np.abs(own.history["loss"] / alone.history["loss"] - 1))
                ),
                "largest_difference_of_parameters": max(float(np.abs(a - b).max()) for a, b in pairs),
                "largest_parameter": size,
                "same_best_epoch": bool(own.status.best_epoch == alone.status.best_epoch),
                "same_bits": all(np.array_equal(a, b) for a, b in pairs),
            }
        )
        print(rows[-1], flush=True)
    results = {
        "machine": {"device": f"{jax.device_count()} × {jax.devices()[0].device_kind}", "jax": jax.__version__},
        "members": many.members,
        "epochs": EPOCHS,
        "sweep_s": round(sweep_s, 1),
        "sweep_compile_s": round(many.record["compile_seconds"], 1),
        "one_run_s": round(float(np.median(single_s)), 2),
        "sample": rows,
    }
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    worst = max(row["largest_relative_difference_of_losses"] for row in rows)
    print(f"256 members in {sweep_s:.1f} s, one run {results['one_run_s']} s; losses differ by at most {worst:.2g}")


if __name__ == "__main__":
    main()
