import pytest


@pytest.mark.parametrize("engine", ["auto", "compact"])
def test_the_command_says_in_which_form_networks_train(run, engine):
    code, printed, _ = run("doctor", "pendulum/mixture-v0", "bc", "--engine", engine, "--json")
    assert code == 0
    form = "sparse" if engine == "auto" else "dense"
    assert f'"networks": {{"actor": {{"form": "{form}"' in printed
