from huidurep_sorter.cli.main import main


def test_a_configuration_that_is_not_there_or_wrong_is_bad_usage(tmp_path, capsys):
    assert main(["pretrain", str(tmp_path / "none.yaml"), "-o", str(tmp_path / "run")]) == 2
    (tmp_path / "config.yaml").write_text("data: {recordings: here}\ntraining: {n_step: 1}")
    assert main(["pretrain", str(tmp_path / "config.yaml"), "-o", str(tmp_path / "run")]) == 2
    assert "n_step" in capsys.readouterr().err


def test_one_command_trains_an_encoder(tmp_path, tetrode, capsys):
    from huidurep_sorter import load_encoder

    recording, _ = tetrode
    recording.save(folder=tmp_path / "data" / "one", progress_bar=False, verbose=False)
    (tmp_path / "config.yaml").write_text(
        f"name: mine\ndata: {{recordings: '{tmp_path / 'data'}'}}\n"
        "encoder: {n_layers: 1, n_decoder_layers: 1, strides: [4, 4]}\n"
        "batch: {scenes: 2, units_per_scene: 2, spikes_per_unit: 4}\n"
        "training: {n_steps: 2, same_neuron_weight: 0.0, contrast_weight: 1.0}"
    )
    assert main(["pretrain", str(tmp_path / "config.yaml"), "-o", str(tmp_path / "run"), "--torch-device", "cpu"]) == 0
    assert str(tmp_path / "run" / "mine.safetensors") in capsys.readouterr().out
    assert load_encoder(tmp_path / "run" / "mine.safetensors", "cpu").config.n_layers == 1
