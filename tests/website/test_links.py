from website.links import address, linked_files, relinked


def test_addresses():
    assert address("docs/design.md") == "design.md"
    assert address("notebooks/01_quickstart.ipynb") == "notebooks/01_quickstart.md"
    assert address("tests/test_rooms.py") == "repository/tests/test_rooms.py.md"
    assert address("benchmarks/jax_peers") == "repository/benchmarks/jax_peers.md"
    assert address("README.md") == "repository/README.md"
    assert address("benchmarks/results/games.png") == "repository/benchmarks/results/games.png"


def test_links_follow_where_files_went():
    text = "[a](../benchmarks/results/games.md#top) [b](methods.md) [c](https://example.org/d.md)"
    assert relinked(text, "docs/design.md") == (
        "[a](repository/benchmarks/results/games.md#top) [b](methods.md) [c](https://example.org/d.md)"
    )
    assert relinked("[d](../../docs/design.md)", "benchmarks/retention/README.md") == (
        "[d](../../../design.md)"
    )
    assert relinked('<img src="a.png">', "README.md") == '<img src="a.png">'


def test_code_stays():
    text = "```\n[a](../b.md)\n```\n"
    assert relinked(text, "docs/design.md") == text


def test_what_documents_lead_to_is_found_through_documents(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("[b](../b.md) [gone](../gone.md)")
    (tmp_path / "b.md").write_text("[c](c.py) ![d](d.png) [a](docs/a.md)")
    (tmp_path / "c.py").write_text("")
    (tmp_path / "d.png").write_text("")
    assert linked_files(tmp_path, ["docs/a.md"]) == {"b.md", "c.py", "d.png"}
