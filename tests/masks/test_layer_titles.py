from offline_prune.masks.layer_titles import layer_titles


def titles(*names, role="actor"):
    return [t.removeprefix(f"{role}: ") for t in layer_titles({role: names}).values()]


def test_hidden_layers_are_numbered_whatever_lies_between_them():
    names = [f"q_funcs.0._encoder._layers.{n}.weight" for n in (0, 3)]
    assert titles(*names, "q_funcs.0._fc.weight") == ["layer 1", "layer 2", "output"]


def test_heads_are_called_what_they_put_out():
    assert titles("policy._mu.weight", "policy._logstd.weight") == ["mean", "log deviation"]


def test_halves_of_a_vae_are_counted_apart():
    names = [f"vae_{half}._encoder._layers.0.weight" for half in ("encoder", "decoder")]
    assert titles(*names, role="imitator") == ["encoder layer 1", "decoder layer 1"]


def test_blocks_of_transformers():
    names = [f"transformer._gpt2._transformer.1.{layer}.weight" for layer in
             ("_attention._k", "_mlp._l1")]  # fmt: skip
    assert titles(*names) == ["block 2 key", "block 2 inner 1"]


def test_no_two_layers_are_called_alike():
    assert titles("a.fc.weight", "b.fc.weight") == ["output", "output'"]
