"""The command line as a user meets it: answers, refusals, folders."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxae import cli, recipes

FAST = ["--epochs", "2", "--set", "rows=200", "batch_size=20", "--no-cache"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small population of autoencoders, and the file it was trained on."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(120, 2)) @ rng.normal(size=(2, 4)) * [1, 10, 100, 1] + [0, 5, -300, 7]
    rows[:, 3] = 4.5
    write(folder / "plant.csv", rows, "pressure,flow,heat,valve")
    out = folder / "run"
    arguments = ["train", "autoencoder", "--data", str(folder / "plant.csv"), "--out", str(out), "--epochs", "40"]
    assert cli.main([*arguments, "--set", "batch_size=12", "--sweep", "learning_rate=0.01,0.001", "--no-cache"]) == 0
    return folder


def write(path: Path, rows, header: str) -> Path:
    lines = [header, *(",".join(str(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def refused(capsys, *arguments: str) -> str:
    """Return the one sentence that a refused command prints."""
    capsys.readouterr()
    assert cli.main(list(arguments)) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("jaxae: ")]
    assert len(lines) == 1
    return lines[0]


class TestAnswers:
    def test_plain_list_is_the_names_alone(self, capsys):
        cli.main(["list", "--plain"])
        assert capsys.readouterr().out.split() == recipes.names()

    def test_list_shows_settings_with_their_defaults(self, capsys):
        cli.main(["list"])
        out = capsys.readouterr().out
        assert "digits-vae" in out and "widths=64,32" in out

    def test_list_of_one_recipe_says_what_its_settings_mean(self, capsys):
        cli.main(["list", "series"])
        out = capsys.readouterr().out
        assert "length: points of a window." in out and "length=72" in out
        assert "there is no recipe 'serie'" in refused(capsys, "list", "serie")

    @pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "gan"], ["train", "--help"]])
    def test_help_and_list_do_not_import_jax(self, arguments):
        code = (
            "import sys\nfrom jaxae import cli\n"
            f"try: cli.main({arguments!r})\nexcept SystemExit: pass\n"
            "assert not {'jax', 'flax', 'sklearn', 'matplotlib', 'polars'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    def test_unknown_option_is_answered_with_the_nearest(self, capsys):
        with pytest.raises(SystemExit) as stop:
            cli.main(["train", "autoencoder", "--epoch", "3"])
        assert stop.value.code == 2
        assert "--epochs" in capsys.readouterr().err


class TestPopulations:
    @staticmethod
    def run(tmp_path, *arguments):
        """Train and return the folder, and what metrics.json and config.json hold."""
        out = tmp_path / "run"
        command = ["train", "autoencoder", "--out", str(out), "--set", "rows=200", "batch_size=20", "--no-cache"]
        assert cli.main([*command, *arguments]) == 0
        assert (out / "report.html").exists()
        return out, *(json.loads((out / f"{name}.json").read_text()) for name in ("metrics", "config"))

    @staticmethod
    def rows(tmp_path):
        """Return the path of three rows to encode."""
        return str(write(tmp_path / "rows.csv", np.zeros((3, 10)), ",".join(f"x{i}" for i in range(10))))

    def test_points_are_drawn_from_ranges(self, tmp_path):
        ranges = ["--sweep", "learning_rate=1e-4..1e-1:log", "weight_decay=0.0..1.0", "--points", "5", "--epochs", "2"]
        out, metrics, config = self.run(tmp_path, *ranges, "--seeds", "2")
        points = [point["hparams"] for point in metrics["points"]]
        assert len(points) == 5 and all(1e-4 <= point["learning_rate"] <= 1e-1 for point in points)
        assert len({point["learning_rate"] for point in points}) == 5
        assert [len(point["members"]) for point in metrics["points"]] == [2] * 5
        assert set(metrics["effects"]) == {"learning_rate", "weight_decay"}
        assert config["sweep"]["learning_rate"] == "0.0001..0.1:log" and config["points"] == 5
        assert (out / "parallel.png").exists() and (out / "points.csv").exists()
        assert "by itself explains" in (out / "report.html").read_text()

    def test_every_combination_of_two_is_a_heat_map(self, tmp_path):
        values = ["--sweep", "learning_rate=1e-3,1e-2", "weight_decay=0.0,0.1", "--epochs", "2"]
        out, metrics, _ = self.run(tmp_path, *values)
        assert (out / "heat_map.png").exists() and len(metrics["points"]) == 4
        assert all(point["low"] is None and point["sd"] is None for point in metrics["points"])
        assert set(metrics["effects"]) == {"learning_rate", "weight_decay"}

    def test_a_search_by_halving(self, tmp_path):
        _, metrics, config = self.run(
            tmp_path, "--sweep", "learning_rate=1e-5..1e-1:log", "--points", "9", "--search", "halving", "--epochs", "9"
        )
        status = [member["status"] for member in metrics["members"]]
        assert status.count("dropped after epoch 1") == 6 and status.count("dropped after epoch 3") == 2
        assert status[metrics["best"]] == "trained" and config["search"] == "halving"

    def test_hyperband_draws_its_own_points(self, tmp_path):
        _, metrics, _ = self.run(
            tmp_path, "--sweep", "learning_rate=1e-5..1e-1:log", "--search", "hyperband", "--epochs", "3"
        )
        assert len(metrics["members"]) == 3 + 2

    def test_evolution_of_a_learning_rate(self, tmp_path):
        out, metrics, _ = self.run(
            tmp_path, "--sweep", "learning_rate=1e-5,1e-4,1e-3,1e-2", "--search", "evolution", "--epochs", "10"
        )
        assert [member["status"] for member in metrics["members"]] == ["trained"] * 4
        assert "hparams/learning_rate" in (out / "history.csv").read_text().splitlines()[0]
        assert "points" not in metrics and "took over from the best" in (out / "report.html").read_text()

    def test_a_search_among_two(self, tmp_path):
        _, metrics, _ = self.run(tmp_path, "--seeds", "2", "--search", "halving", "--epochs", "3")
        assert sorted(member["status"] for member in metrics["members"]) == ["dropped after epoch 2", "trained"]

    def test_widths_are_swept_in_one_call(self, tmp_path, capsys):
        swept = ["--sweep", "widths=8/16,8", "learning_rate=1e-3,1e-2", "--seeds", "2", "--epochs", "2"]
        out, metrics, config = self.run(tmp_path, *swept)
        members = metrics["members"]
        assert len(members) == 8 and [len(point["members"]) for point in metrics["points"]] == [2] * 4
        assert [member["hparams"]["widths"] for member in members] == ["8"] * 4 + ["16,8"] * 4
        assert [each["members"] for each in config["architectures"]] == [4] * 2
        assert config["sweep"]["widths"] == [[8], [16, 8]]
        history = (out / "history.csv").read_text().splitlines()
        assert len(history) == 1 + 8 * 2
        assert set(metrics["effects"]) == {"widths", "learning_rate"}
        assert metrics["effects"]["widths"]["correlation"] is None
        # Every member is used with its own architecture; the best without being named.
        rows = self.rows(tmp_path)
        for member in (None, 0, 7):
            chosen = ["--data", rows]
            chosen += [] if member is None else ["--member", str(member)]
            assert cli.main(["encode", str(out), "--out", str(tmp_path / "codes.csv"), *chosen]) == 0
            assert (tmp_path / "codes.csv").read_text().splitlines()[0] == "z0,z1"
        command = ["encode", str(out), "--data", rows, "--out", str(tmp_path / "codes.csv"), "--member", "8"]
        assert "member is 8" in refused(capsys, *command)

    def test_a_member_among_architectures_is_that_run_alone(self, tmp_path):
        out, together, _ = self.run(tmp_path / "a", "--sweep", "latent=1,3", "--epochs", "2")
        _, alone, _ = self.run(tmp_path / "b", "--set", "latent=3", "--seeds", "1", "--epochs", "2")
        assert together["members"][1]["validation"] == alone["members"][0]["validation"]
        # Every member is used with its own architecture.
        rows = self.rows(tmp_path)
        for member, header in (("0", "z0"), ("1", "z0,z1,z2")):
            codes = tmp_path / f"{member}.csv"
            assert cli.main(["encode", str(out), "--member", member, "--data", rows, "--out", str(codes)]) == 0
            assert codes.read_text().splitlines()[0] == header


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["autoencodr"], "there is no recipe 'autoencodr'; there is: autoencoder"),
            (["autoencoder", "--epochs", "0"], "epochs is 0, but must be a whole number ≥ 1"),
            (["autoencoder", "--epochs", "-1"], "epochs is -1"),
            (["autoencoder", "--set", "batch_size=0"], "batch_size is 0"),
            (["autoencoder", "--set", "batch_size=-3"], "batch_size is -3"),
            (["autoencoder", "--set", "batch_size=2.5"], "batch_size is '2.5', but must be a whole number"),
            (["autoencoder", "--set", "batch_size=5000"], "from 1 to 700, the number of training rows"),
            (["autoencoder", "--set", "learning_rate=-1"], "learning_rate is -1, but must be a finite number > 0"),
            (["autoencoder", "--set", "learning_rate=nan"], "learning_rate is nan"),
            (["autoencoder", "--set", "widths=8,0"], "widths is 0"),
            (["autoencoder", "--set", "latent"], "write --set name=value"),
            (["autoencoder", "--set", "latent=1", "latent=2"], "names latent twice"),
            (["autoencoder", "--set", "laten=2"], "there is no setting of autoencoder 'laten'; there is: latent"),
            (["gan", "--set", "dropout=1.5"], "dropout is 1.5"),
            (["vae", "--set", "beta=-1"], "beta is -1, but must be a finite number ≥ 0"),
            (["autoencoder", "--sweep", "lr=1,2"], "there is no setting of autoencoder 'lr'"),
            (
                ["autoencoder", "--sweep", "epochs=1,2"],
                "what can be swept is learning_rate, weight_decay, latent, widths",
            ),
            (["autoencoder", "--sweep", "latent=1..4", "--points", "3"], "name them, latent=4,8,16"),
            (["autoencoder", "--sweep", "latent=1,0"], "latent is 0"),
            (["autoencoder", "--sweep", "learning_rate=1e-3,-1"], "learning_rate is -1"),
            (["autoencoder", "--seeds", "0"], "seeds is 0"),
            (["autoencoder", "--sweep", "learning_rate=1e-4..1e-2:log"], "say how many, --points 32"),
            (["autoencoder", "--sweep", "learning_rate=1e-4..1e-2:lin", "--points", "4"], "LOW..HIGH:log"),
            (["autoencoder", "--sweep", "learning_rate=1e-2..1e-4", "--points", "4"], "low must be less than high"),
            (["autoencoder", "--sweep", "weight_decay=0..1:log", "--points", "4"], "begins above 0: leave :log out"),
            (["autoencoder", "--sweep", "learning_rate=1e-3,1e-2", "--points", "4"], "drawn from ranges"),
            (["autoencoder", "--sweep", "latent=1,2", "--points", "4"], "points are drawn of what is swept"),
            (["autoencoder", "--sweep", "widths=8/8"], "write widths=8/16,8"),
            (["autoencoder", "--search", "halving", "--seeds", "4", "--epochs", "1"], "at least 3 epochs"),
            (["autoencoder", "--points", "4"], "points are drawn of what is swept, but nothing is"),
            (["autoencoder", "--sweep", "learning_rate=1e-4..1e-2", "--points", "0"], "points is 0"),
            (["autoencoder", "--search", "halving"], "at least two members, but this is 1"),
            (["autoencoder", "--search", "halving", "--seeds", "1"], "at least two members, but this is 1"),
            (["autoencoder", "--search", "evolution", "--seeds", "4"], "one member per point of a sweep"),
            (["autoencoder", "--search", "hyperband", "--sweep", "learning_rate=1e-3,1e-2"], "low..high"),
            (["sparse", "--search", "halving", "--seeds", "4"], "no score on held-out rows"),
            (["autoencoder", "--seed", "-1"], "seed is -1"),
            (["autoencoder", "--data", "nowhere.csv"], "nowhere.csv"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else None,
    )
    def test_bad_command(self, capsys, tmp_path, monkeypatch, arguments, words):
        monkeypatch.chdir(tmp_path)
        assert words in refused(capsys, "train", *arguments, "--no-cache")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ([["1", "2"], ["", "3"], ["4", "6"]], "column 'a' of data.csv has no value in row 2"),
            ([["1", "2"], ["nan", "3"], ["4", "6"]], "column 'a' of data.csv has no value in row 2"),
            ([["1", "2"], ["5", "inf"], ["4", "6"]], "column 'b' of data.csv is infinite in row 2"),
            ([["1", "2"], ["5", "-inf"], ["4", "6"]], "column 'b' of data.csv is infinite in row 2"),
            ([["1", "2"], ["5", "red"], ["4", "6"]], "row 2 is 'red'"),
            ([["x", "y"], ["z", "w"]], "no numeric column"),
            ([["1", "2"]], "1 rows of data"),
            ([["1", "2"]] * 30, "every column is constant"),
            ([["1", str(i)] for i in range(30)], "1 usable column"),
            ([["red", str(i)] for i in range(30)], "1 usable column"),
        ],
        ids=["empty cell", "nan", "inf", "-inf", "mixed", "text", "one row", "constant", "one varies", "one numeric"],
    )
    def test_bad_data(self, capsys, tmp_path, monkeypatch, content, words):
        monkeypatch.chdir(tmp_path)
        write(Path("data.csv"), content, "a,b")
        assert words in refused(capsys, "train", "autoencoder", "--data", "data.csv", "--out", "out", *FAST[:2])
        assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]

    def test_empty_file(self, capsys, tmp_path):
        (tmp_path / "data.csv").touch()
        assert "is empty" in refused(capsys, "train", "autoencoder", "--data", str(tmp_path / "data.csv"))

    def test_one_column(self, capsys, tmp_path):
        write(tmp_path / "data.csv", [[i] for i in range(30)], "a")
        said = refused(
            capsys, "train", "autoencoder", "--data", str(tmp_path / "data.csv"), "--out", str(tmp_path / "o")
        )
        assert "1 usable column (a)" in said and not (tmp_path / "o").exists()

    def test_folder_that_cannot_be_written(self, capsys, tmp_path):
        (tmp_path / "file").touch()
        assert "cannot write to" in refused(
            capsys, "train", "autoencoder", "--out", str(tmp_path / "file" / "run"), *FAST
        )

    def test_folder_of_something_else_is_left_alone(self, capsys, tmp_path):
        (tmp_path / "thesis.tex").write_text("precious")
        assert "holds something else" in refused(capsys, "train", "autoencoder", "--out", str(tmp_path), *FAST)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    @pytest.mark.parametrize("name", ["notes.txt", "plant.csv"])
    def test_a_run_with_files_of_the_user_is_left_alone(self, capsys, trained, tmp_path, name):
        shutil.copytree(trained / "run", tmp_path / "run")
        (tmp_path / "run" / name).write_text("precious")
        said = refused(capsys, "train", "autoencoder", "--out", str(tmp_path / "run"), *FAST)
        assert f"{name}, which would be lost" in said and (tmp_path / "run" / name).read_text() == "precious"

    def test_a_config_of_something_else_is_left_alone(self, capsys, tmp_path):
        (tmp_path / "config.json").write_text('{"editor": "vi"}')
        assert "config.json, which would be lost" in refused(capsys, "train", "vae", "--out", str(tmp_path), *FAST)

    def test_the_data_are_not_replaced_by_the_run(self, capsys, trained):
        said = refused(capsys, "train", "vae", "--data", str(trained / "plant.csv"), "--out", str(trained))
        assert "holds the data" in said and (trained / "plant.csv").exists()

    @pytest.mark.parametrize("out", [".", ".."])
    def test_the_folder_one_is_in_is_not_replaced(self, capsys, tmp_path, monkeypatch, out):
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        assert "the folder you are in" in refused(capsys, "train", "autoencoder", "--out", out, *FAST)
        assert [path.name for path in tmp_path.rglob("*")] == ["here"]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--epochs", "2", "--set", "epochs=3"], "by --epochs and by --set"),
            (["--set", "learning_rate=0.1", "--sweep", "learning_rate=1e-3,1e-2"], "by --set and by --sweep"),
            (["--sweep", "learning_rate=1e-3,1e-3"], "two equal values"),
            (["--sweep", "learning_rate=1e-3,,1e-2"], "learning_rate is '', but must be a number"),
            (["--set", "rows=50", "--data", "plant.csv"], "rows is about data that the recipe makes"),
        ],
    )
    def test_contradictions(self, capsys, tmp_path, monkeypatch, arguments, words):
        monkeypatch.chdir(tmp_path)
        assert words in refused(capsys, "train", "autoencoder", *arguments)

    @pytest.mark.filterwarnings("ignore:the run diverged:RuntimeWarning")
    def test_a_run_that_diverges_leaves_nothing(self, capsys, tmp_path):
        said = refused(
            capsys, "train", "autoencoder", "--out", str(tmp_path / "run"), *FAST, "--set", "learning_rate=1e30"
        )
        assert "diverged in epoch 1 at step" in said
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_no_run(self, capsys, tmp_path):
        assert "no trained folder" in refused(capsys, "sample", str(tmp_path), "--out", str(tmp_path / "s.csv"))

    @pytest.mark.parametrize(
        ("header", "width", "words"),
        [
            ("pressure,flow,valve", 3, "lacks 1 of the 4 expected columns: 'heat'"),
            ("flow,pressure,heat,valve", 4, "in another order"),
        ],
    )
    def test_other_columns_than_the_model_was_trained_on(self, capsys, trained, tmp_path, header, width, words):
        path = write(tmp_path / "new.csv", np.ones((3, width)), header)
        out = tmp_path / "codes.csv"
        assert words in refused(capsys, "encode", str(trained / "run"), "--data", str(path), "--out", str(out))
        assert not out.exists()

    def test_wrong_number_of_features(self, capsys, trained, tmp_path):
        np.save(tmp_path / "new.npy", np.ones((3, 5)))
        said = refused(capsys, "encode", str(trained / "run"), "--data", str(tmp_path / "new.npy"), "--out", "x.csv")
        assert "5" in said and "4" in said

    def test_an_autoencoder_cannot_sample(self, capsys, trained, tmp_path):
        said = refused(capsys, "sample", str(trained / "run"), "--out", str(tmp_path / "s.csv"))
        assert "cannot sample; it can encode, decode" in said

    def test_a_member_that_does_not_exist(self, capsys, trained, tmp_path):
        said = refused(capsys, "encode", str(trained / "run"), "--member", "7", "--out", str(tmp_path / "s.csv"))
        assert "member is 7, but must be a whole number from 0 to 1" in said

    def test_a_damaged_model(self, capsys, trained, tmp_path):
        shutil.copytree(trained / "run", tmp_path / "run")
        model = tmp_path / "run" / "model.safetensors"
        content = bytearray(model.read_bytes())
        content[-5] ^= 4
        model.write_bytes(content)
        assert "damaged" in refused(capsys, "encode", str(tmp_path / "run"), "--out", str(tmp_path / "s.csv"))

    def test_settings_that_are_not_those_of_the_model(self, capsys, trained, tmp_path):
        shutil.copytree(trained / "run", tmp_path / "run")
        config = tmp_path / "run" / "config.json"
        config.write_text(config.read_text().replace('"latent": 2', '"latent": 3'))
        said = refused(capsys, "encode", str(tmp_path / "run"), "--out", str(tmp_path / "s.csv"))
        assert "no model of the settings in config.json" in said

    def test_data_that_changed_since_training(self, capsys, trained, tmp_path):
        plant = tmp_path / "plant.csv"
        plant.write_text((trained / "plant.csv").read_text())
        run = tmp_path / "run"
        cli.main(["train", "autoencoder", "--data", str(plant), "--out", str(run), "--epochs", "1", "--no-cache"])
        lines = plant.read_text().splitlines()
        plant.write_text("\n".join([lines[0], *reversed(lines[1:])]))
        assert "has changed since" in refused(capsys, "encode", str(run), "--out", str(tmp_path / "s.csv"))
        plant.unlink()
        assert "no longer at" in refused(capsys, "encode", str(run), "--out", str(tmp_path / "s.csv"))


def interrupted(folder, number, *arguments, when="epoch"):
    """Return the exit status and the last line of a training that gets a signal once a line begins so."""
    command = [sys.executable, "-m", "jaxae", "train", *arguments]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        while not process.stderr.readline().startswith(when):
            assert process.poll() is None
        process.send_signal(number)
        rest = process.stderr.read()
    return process.returncode, rest.splitlines()[-1]


LONG = ("autoencoder", "--out", "run", "--epochs", "1000000", "--no-cache")


def test_an_interrupted_run_is_saved_and_goes_on(tmp_path):
    code, said = interrupted(tmp_path, signal.SIGTERM, *LONG)
    assert code == 75
    assert re.fullmatch(
        r"jaxae: SIGTERM stopped the fit after epoch \d+ of 1000000, saved in \S*run\.unfinished/0: the same call goes "
        "on from there",
        said,
    )
    assert os.listdir(tmp_path) == ["run.unfinished"]
    (first,) = (name for name in os.listdir(tmp_path / "run.unfinished" / "0") if name.isdigit())
    for again in (LONG, ("--resume", "run")):
        code, said = interrupted(tmp_path, signal.SIGINT, *again, when="on from epoch")
        assert code == 75 and said.startswith("jaxae: SIGINT stopped")
        assert int(re.search(r"after epoch (\d+)", said)[1]) >= int(first)


def test_a_run_that_is_interrupted_before_it_trains_leaves_nothing(tmp_path):
    code, said = interrupted(tmp_path, signal.SIGTERM, *LONG, when="training")
    assert (code, said) == (143, "jaxae: interrupted; nothing was written")
    assert os.listdir(tmp_path) == []


class TestGoingOn:
    """A training that was stopped after one of its epochs."""

    @pytest.fixture
    def stopped(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        self.stop(monkeypatch, *SHORT)
        return tmp_path

    @staticmethod
    def stop(monkeypatch, *arguments, event=lambda course: course.done == 1):
        def signalled(_, course):
            if event(course):
                signal.raise_signal(signal.SIGTERM)

        with monkeypatch.context() as patch:
            patch.setattr("jaxae.fitting.watch.Watch.after", signalled)
            assert cli.main(["train", *arguments]) == 75

    def files(self, folder):
        return {name: (folder / name).read_bytes() for name in ("history.csv", "model.safetensors", "metrics.json")}

    def test_the_same_command_gives_what_an_uninterrupted_one_gives(self, stopped, capsys):
        assert cli.main(["train", *SHORT]) == 0
        assert "on from epoch 1" in capsys.readouterr().err
        assert os.listdir(stopped) == ["run"]
        assert cli.main(["train", *SHORT[:-1], "whole"]) == 0
        assert self.files(stopped / "run") == self.files(stopped / "whole")
        log = [json.loads(line)["event"] for line in (stopped / "run" / "log.jsonl").read_text().splitlines()]
        log = [event for event in log if event != "chunk"]
        assert log == ["begun", "stopped", "saved", "begun", "saved", "ended"]

    def test_it_goes_on_from_its_folder_wherever_one_is(self, stopped, monkeypatch, tmp_path_factory, capsys):
        monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
        assert cli.main(["train", "--resume", str(stopped / "run.unfinished")]) == 0
        assert "on from epoch 1" in capsys.readouterr().err
        assert os.listdir(stopped) == ["run"]

    def test_it_goes_on_as_it_was_asked_for_last(self, stopped, monkeypatch, capsys):
        longer = [word if word != "5" else "7" for word in SHORT]
        # Its learning rate falls over all of its steps, so that of more epochs is another program.
        self.stop(monkeypatch, *longer, "--accept", "program", event=lambda course: course.done > 1)
        assert "on from epoch 1" in capsys.readouterr().err
        assert cli.main(["train", "--resume", "run"]) == 0
        assert json.loads((stopped / "run" / "config.json").read_text())["settings"]["epochs"] == 7

    def test_a_folder_that_was_moved_is_refused(self, stopped, capsys):
        (stopped / "run.unfinished").rename(stopped / "other.unfinished")
        assert "other.unfinished was moved" in refused(capsys, "train", "--resume", "other")

    def test_another_command_is_refused_by_name_or_begins_anew(self, stopped, capsys):
        other = ["train", *SHORT, "--set", "learning_rate=0.01"]
        assert cli.main(other) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert "another program (" in said and said.endswith(
            "give the command that was interrupted, --anew to begin again, or another --out; or --accept program to go "
            "on all the same"
        )
        assert (stopped / "run.unfinished").is_dir()
        # What is refused leaves everything as it is, with --anew too.
        assert cli.main(["train", *SHORT, "--anew", "--data", "nowhere.csv"]) == 1
        assert (stopped / "run.unfinished" / "0" / "1").is_dir()
        assert cli.main([*other, "--anew"]) == 0
        assert os.listdir(stopped) == ["run"]

    def test_what_changed_can_be_accepted(self, stopped, capsys):
        assert cli.main(["train", *SHORT, "--set", "learning_rate=0.01", "--accept", "program"]) == 0
        assert "on from epoch 1" in capsys.readouterr().err

    def test_nothing_to_go_on_with(self, stopped, capsys):
        assert "no training to go on with" in refused(capsys, "train", "--resume", "elsewhere")
        assert "epochs was given with --resume" in refused(capsys, "train", "--resume", "run", "--epochs", "3")
        assert "needs a recipe, or --resume" in refused(capsys, "train")

    def test_a_search_leaves_it_alone(self, stopped):
        assert cli.main(["train", *SHORT, "--seeds", "2", "--search", "halving"]) == 0
        assert (stopped / "run.unfinished" / "0" / "1").is_dir()

    def test_what_is_not_of_a_training_is_never_removed(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "run.unfinished").mkdir()
        (tmp_path / "run.unfinished" / "notes.txt").write_text("mine")
        for more in ([], ["--anew"], ["--data", "nowhere.csv"]):
            refused(capsys, "train", *SHORT, *more)
            assert (tmp_path / "run.unfinished" / "notes.txt").read_text() == "mine"
        assert "holds something else, notes.txt" in refused(capsys, "train", *SHORT)

    def test_architectures_that_were_finished_are_not_trained_again(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        given = [*SHORT, "--sweep", "latent=1,2"]
        seen = []

        def in_the_second(course):
            seen.append(course.done)
            return seen == [1, 5, 1]

        self.stop(monkeypatch, *given, event=in_the_second)
        capsys.readouterr()
        assert cli.main(["train", *given]) == 0
        said = capsys.readouterr().err
        assert "on from epoch 5" in said and "on from epoch 1" in said
        assert os.listdir(tmp_path) == ["run"]
        assert len(json.loads((tmp_path / "run" / "config.json").read_text())["architectures"]) == 2


SHORT = ("autoencoder", "--epochs", "5", "--no-cache", "--out", "run")


def test_a_reader_that_has_seen_enough_is_no_error():
    command = [sys.executable, "-m", "jaxae", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


class TestFolder:
    def test_it_holds_everything(self, trained):
        names = {path.name for path in (trained / "run").iterdir()}
        assert {
            "config.json",
            "history.csv",
            "metrics.json",
            "timing.json",
            "model.safetensors",
            "report.html",
        } <= names
        pictures = {name for name in names if name.endswith(".png")}
        assert pictures and all(name.replace(".png", ".csv") in names for name in pictures)

    def test_config_says_how_to_do_it_again(self, trained):
        config = json.loads((trained / "run" / "config.json").read_text())
        assert config["command"].startswith("jaxae train autoencoder --data ")
        assert config["settings"]["batch_size"] == 12 and config["epochs"] == 40
        assert config["data"]["columns"] == ["pressure", "flow", "heat", "valve"]
        assert config["data"]["split"] == {"train": 84, "validation": 18, "test": 18}
        assert {"jax", "flax", "jaxae", "python"} <= set(config["versions"])

    def test_metrics_have_controls_members_and_doubts(self, trained):
        metrics = json.loads((trained / "run" / "metrics.json").read_text())
        assert metrics["metrics"].keys() == metrics["controls"].keys()
        assert [member["hparams"] for member in metrics["members"]] == [
            {"learning_rate": 0.01},
            {"learning_rate": 0.001},
        ]
        assert metrics["best"] == 0
        constant = next(check for check in metrics["checks"] if "vary" in check["name"])
        assert not constant["passed"] and "valve" in constant["text"]

    def test_history_has_a_row_for_every_member_and_epoch(self, trained):
        lines = (trained / "run" / "history.csv").read_text().splitlines()
        assert lines[0] == "member,epoch,loss,validation" and len(lines) == 1 + 2 * 40

    def test_reconstruct_speaks_the_users_columns_and_units(self, trained, tmp_path):
        out = tmp_path / "smooth.csv"
        assert (
            cli.main(["reconstruct", str(trained / "run"), "--data", str(trained / "plant.csv"), "--out", str(out)])
            == 0
        )
        header, *lines = out.read_text().splitlines()
        original = np.loadtxt(trained / "plant.csv", delimiter=",", skiprows=1)
        reconstruction = np.loadtxt(lines, delimiter=",")
        assert header == "pressure,flow,heat,valve"
        np.testing.assert_array_equal(reconstruction[:, 3], 4.5)
        spread = original.std(0)[:3]
        assert (np.abs(reconstruction - original)[:, :3].mean(0) < 0.5 * spread).all()

    def test_missing_values_are_filled_from_the_training_rows(self, trained, tmp_path):
        new = write(tmp_path / "new.csv", [["", 5, -300, 4.5]], "pressure,flow,heat,valve")
        run, out = str(trained / "run"), str(tmp_path / "codes.npy")
        assert cli.main(["encode", run, "--data", str(new), "--out", out, "--impute", "mean"]) == 0
        mean = json.loads((trained / "run" / "config.json").read_text())["data"]["fills"]["mean"][0]
        full = write(tmp_path / "full.csv", [[mean, 5, -300, 4.5]], "pressure,flow,heat,valve")
        cli.main(["encode", run, "--data", str(full), "--out", str(tmp_path / "full.npy")])
        np.testing.assert_array_equal(np.load(out), np.load(tmp_path / "full.npy"))

    def test_decode_of_encode_is_reconstruct(self, trained, tmp_path):
        run, codes = str(trained / "run"), str(tmp_path / "codes.csv")
        cli.main(["encode", run, "--out", codes])
        assert Path(codes).read_text().splitlines()[0] == "z0,z1"
        cli.main(["decode", run, "--data", codes, "--out", str(tmp_path / "decoded.npy")])
        cli.main(["reconstruct", run, "--out", str(tmp_path / "direct.npy")])
        decoded, direct = np.load(tmp_path / "decoded.npy"), np.load(tmp_path / "direct.npy")
        np.testing.assert_allclose(decoded, direct, rtol=1e-5, atol=1e-4)

    def test_report_is_written_anew_to_the_same_bytes(self, trained):
        page = trained / "run" / "report.html"
        before = page.read_bytes()
        page.unlink()
        assert cli.main(["report", str(trained / "run")]) == 0
        assert page.read_bytes() == before

    def test_the_same_command_gives_the_same_bits_and_replaces_the_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        seen = []
        for _ in range(2):
            assert cli.main(["train", "autoencoder", "--out", "run", *FAST, "--seeds", "2"]) == 0
            # Times differ, and the page that shows them; every figure, picture and weight is the same.
            timed = {"timing.json", "log.jsonl", "report.html"}
            seen.append({path.name: path.read_bytes() for path in Path("run").iterdir() if path.name not in timed})
        assert seen[0].keys() == seen[1].keys() and "model.safetensors" in seen[0]
        assert [name for name in seen[0] if seen[0][name] != seen[1][name]] == []
        assert [path.name for path in tmp_path.iterdir()] == ["run"]

    def test_another_seed_gives_other_figures(self, tmp_path):
        figures = []
        for seed in ("0", "1"):
            assert cli.main(["train", "autoencoder", "--out", str(tmp_path / seed), *FAST, "--seed", seed]) == 0
            figures.append(json.loads((tmp_path / seed / "metrics.json").read_text())["metrics"])
        assert figures[0] != figures[1]
