"""Training as one call from Python."""

import csv
import re

import pytest

import detr_kit
from detr_kit.errors import InputError
from detr_kit.inference import Detector

SMALL = dict(checkpoint="builtin", batch_size=8, image_size=64, seed=1)


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory):
    """Two epochs of the built-in detector on the shapes: what came back, and what a callback was told."""
    told = []
    trained = detr_kit.train(
        shapes, epochs=2, work_dir=tmp_path_factory.mktemp("run"), callbacks=[told.append], **SMALL
    )
    return trained, told


def test_it_gives_the_best_detector_and_its_figures(run, shapes):
    detector, figures = run[0]
    assert isinstance(detector, Detector)
    assert detector.checkpoint == str(run[0].folder / "best.pth")
    assert detector.class_names == ("circle", "square", "triangle", "star", "ring")
    assert figures["AP50"] > figures["AP"] > 0.01
    measured = detector.evaluate(shapes, "val").measured
    assert measured == pytest.approx(figures, abs=1e-6)


def test_a_callback_is_told_of_every_epoch_what_results_csv_says(run):
    trained, told = run
    assert [row["epoch"] for row in told] == [1, 2]
    assert max(row["AP"] for row in told) == trained.figures["AP"]
    with (trained.folder / "results.csv").open() as file:
        for row, line in zip(told, csv.DictReader(file), strict=True):
            assert row.keys() == line.keys()
            assert row["loss"] == pytest.approx(float(line["loss"]), rel=1e-5)


def test_a_resumed_run_tells_of_new_epochs_only_and_shows_a_bar_instead_of_lines(run, shapes, capsys):
    told = []
    folder = run[0].folder
    trained = detr_kit.train(
        shapes, epochs=3, work_dir=folder, resume=True, callbacks=[told.append], progress=True, **SMALL
    )
    assert [row["epoch"] for row in told] == [3]
    assert trained.folder == folder
    shown = capsys.readouterr()
    assert "epoch 3/3: 100%" in shown.err
    assert f"AP={told[0]['AP']:.3f}" in shown.err
    assert "Epoch(train)" not in shown.out + shown.err
    assert re.search(r"Epoch\(train\) +\[3\]", max(folder.glob("*/*.log")).read_text())


def test_what_a_callback_raises_ends_the_run_after_its_checkpoint(shapes, tmp_path):
    class Enough(Exception):
        pass

    def stop(figures):
        raise Enough

    with pytest.raises(Enough):
        detr_kit.train(shapes, epochs=2, work_dir=tmp_path, callbacks=[stop], **SMALL)
    assert (tmp_path / "epoch_1.pth").is_file()
    assert not (tmp_path / "epoch_2.pth").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epoch": 3}, "there is no setting 'epoch'; did you mean 'epochs'?"),
        ({"frozen": True}, "there is no setting 'frozen'; there are .*freeze_backbone"),
        ({"amp": "int8"}, "amp='int8'; it must be one of bf16, fp16"),
        ({"lr": -1.0}, "--lr -1.0: it must be larger than 0"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_is_written(shapes, tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        detr_kit.train(shapes, checkpoint="builtin", work_dir=tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()
