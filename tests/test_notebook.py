"""The notebook runs from its first cell to its last, and is stored without outputs."""

import pathlib

import nbclient
import nbformat
import pytest

PATH = pathlib.Path(__file__).parents[1] / 'docs' / 'toyfaces.ipynb'


@pytest.fixture(scope='module')
def notebook():
    return nbformat.read(PATH, as_version=4)


def test_outputs_are_not_stored(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == 'code']
    assert code and not [cell for cell in code if cell.outputs or cell.execution_count]


@pytest.mark.full
def test_every_cell_runs(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    nbclient.NotebookClient(notebook, timeout=300, resources={'metadata': {'path': tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', ())]
    assert sum('image/png' in output.get('data', {}) for output in outputs) == 5
    printed = ''.join(output['text'] for output in outputs if output.output_type == 'stream')
    assert 'PSNR' in printed and '500 fakes' in printed and 'error' not in printed.lower(), printed
