"""Hook: the files of the repository that documents lead to are pages of the site too."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from website.links import address, is_page, linked_files, relinked, shown_as_code

__all__ = ["on_files", "on_page_markdown"]

ROOT = Path(__file__).parent.parent
PAGES = "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"  # in the navigation


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what documents lead to; notebooks have a hook of their own."""
    documents = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    notebooks = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("notebooks/*.ipynb")]
    written = [page for page in documents if (ROOT / page).exists()] + notebooks + list(PAGES)
    for file in sorted(linked_files(ROOT, written) | set(PAGES)):
        if not file.endswith(".ipynb"):
            files.append(_shown(file, config))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Rewrite the links of a document of ``docs/``."""
    file = f"docs/{page.file.src_uri}"
    return relinked(markdown, file) if (ROOT / file).exists() else markdown


def _shown(file: str, config: MkDocsConfig) -> File:
    path, uri = ROOT / file, address(file)
    level = InclusionLevel.INCLUDED if file in PAGES else InclusionLevel.NOT_IN_NAV
    if not is_page(file):
        return File.generated(config, uri, abs_src_path=str(path), inclusion=level)
    if path.is_dir():
        names = sorted(f"{p.name}/" if p.is_dir() else p.name for p in path.iterdir())
        listing = "\n".join(f"- `{name}`" for name in names if not name.startswith((".", "__")))
        text = f"# {file}\n\n{listing}\n"
    elif shown_as_code(file):
        language = {".py": "python", ".toml": "toml"}.get(path.suffix, "text")
        text = f"# {file}\n\n````{language}\n{path.read_text(encoding='utf-8')}\n````\n"
    else:
        text = relinked(path.read_text(encoding="utf-8"), file)
    return File.generated(config, uri, content=text, inclusion=level)
