"""Pages of the documentation site that are made from other files: see mkdocs.yml."""

import pathlib
import re

import griffe
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[1]
TOP = {'README.md': 'index.md', 'CONTRIBUTING.md': 'contributing.md', 'CHANGELOG.md': 'changelog.md'}


def on_files(files, config):
    """Adds the files at the top of the repository, and one page of docstrings for each part of the package."""
    for source, page in TOP.items():
        files.append(File.generated(config, page, content=_relinked((ROOT / source).read_text())))
    for path in sorted((ROOT / 'stylegan_jax').glob('*/__init__.py')):
        part = path.parent.name
        files.append(File.generated(config, f'api/{part}.md', content=f'# {part}\n\n::: stylegan_jax.{part}\n'))
    return files


class ShapesAreNoLinks(griffe.Extension):
    """Escapes neighbouring brackets in docstrings, such as `[N, H, W] [pixels]`, which Markdown takes for a link."""

    def on_instance(self, *, obj, **_):
        """Rewrites the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = re.sub(r'\](\s?)\[', r']\1\\[', obj.docstring.value)


def _relinked(text):
    """Markdown whose links to files start from the folder docs, where the page of it is."""
    text = text.replace('](docs/', '](')
    return re.sub(r'\]\((\w+\.md)', lambda match: f']({TOP.get(match[1], match[1])}', text)
