"""Reading optimized HLO: counts on small texts in the form that XLA writes, and on what XLA writes here."""

import re

import jax
import jax.numpy as jnp
import pytest

from stylegan_jax.benchmarks import h100, hlo
from stylegan_jax.benchmarks.graph import read_graph
from stylegan_jax.errors import UserError

LOOP = """
HloModule jit_f, is_scheduled=true

%fused_add (param_0: f32[8]) -> f32[8] {
  %param_0 = f32[8]{0} parameter(0)
  ROOT %add.1 = f32[8]{0} add(%param_0, %param_0)
}

%body (state: (s32[], f32[8])) -> (s32[], f32[8]) {
  %state = (s32[], f32[8]{0}) parameter(0)
  %index = s32[] get-tuple-element(%state), index=0
  %values = f32[8]{0} get-tuple-element(%state), index=1
  %sum = f32[8]{0} fusion(%values), kind=kLoop, calls=%fused_add, metadata={op_name="jit(f)/add"}
  ROOT %next = (s32[], f32[8]{0}) tuple(%index, %sum)
}

%condition (state.1: (s32[], f32[8])) -> pred[] {
  %state.1 = (s32[], f32[8]{0}) parameter(0)
  %index.1 = s32[] get-tuple-element(%state.1), index=0
  %end = s32[] constant(5)
  ROOT %less = pred[] compare(%index.1, %end), direction=LT
}

%small (x.1: f32[8]) -> f32[8] {
  %x.1 = f32[8]{0} parameter(0)
  ROOT %small.copy = f32[8]{0} copy(%x.1)
}

%large (x.2: f32[8]) -> f32[8] {
  %x.2 = f32[8]{0} parameter(0)
  %twice = f32[16]{0} concatenate(%x.2, %x.2), dimensions={0}
  ROOT %first = f32[8]{0} slice(%twice), slice={[0:8]}
}

ENTRY %main (x: f32[8], choice: s32[]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  %choice = s32[] parameter(1)
  %zero = s32[] constant(0)
  %start = (s32[], f32[8]{0}) tuple(%zero, %x)
  %loop = (s32[], f32[8]{0}) while(%start), condition=%condition, body=%body, BACKEND
  %result = f32[8]{0} get-tuple-element(%loop), index=1
  ROOT %chosen = f32[8]{0} conditional(%choice, %result, %result), branch_computations={%small, %large}
}
""".replace('BACKEND', 'backend_config={"known_trip_count":{"n":"5"}}')

CONVOLUTIONS = """
ENTRY %main (x: bf16[4,8,8,16], k: bf16[16,3,3,16], b: f32[16]) -> bf16[4,8,8,16] {
  %x = bf16[4,8,8,16]{3,2,1,0} parameter(0)
  %k = bf16[16,3,3,16]{3,2,1,0} parameter(1)
  %b = f32[16]{0} parameter(2)
  %short = (bf16[4,8,8,16]{3,2,1,0}, u8[0]{0}) custom-call(%x, %k, %b), WINDOW(3x3)"__cudnn$convBiasActivationForward"
  %wide = (f32[4,8,8,16]{3,2,1,0}, u8[0]{0}) custom-call(%x, %k), WINDOW(8x8)"__cudnn$convForward"
  %dilated = bf16[4,17,17,16]{3,2,1,0} pad(%x, %k), padding=0_0_0x1_1_1x1_1_1x0_0_0
  ROOT %plain = bf16[4,10,10,16]{3,2,1,0} pad(%x, %k), padding=0_0x1_1x1_1x0_0
}
"""
CONVOLUTIONS = re.sub(r'WINDOW\((.*?)\)', r'window={size=\1 pad=1_1x1_1}, custom_call_target=', CONVOLUTIONS)


def test_loops_branches_and_bytes():
    graph = read_graph(LOOP)
    # Five times 8 numbers in and 8 out; of the branches the one with 16 + 16 + 16 + 8.
    assert graph.kernels == {'fusion kLoop': 5, 'concatenate': 1, 'slice': 1}
    assert graph.bytes_moved == {'fusion kLoop': 5 * 64, 'concatenate': 4 * 32, 'slice': 4 * 24}
    assert graph.total_kernels == 7 and graph.total_bytes == 320 + 128 + 96


def test_convolutions_are_told_apart():
    graph = read_graph(CONVOLUTIONS)
    assert graph.convolutions == {('convBiasActivationForward', '3x3', 'bf16'): 1, ('convForward', '8x8', 'f32'): 1}
    # A float32 bias is no float32 convolution.
    assert [line.split()[0] for line in graph.oversized_filters] == ['%wide']
    assert [line.split()[0] for line in graph.float32_convolutions] == ['%wide']
    assert [line.split()[0] for line in graph.dilated_pads] == ['%dilated']
    assert 'oversized filters: 1, dilated pads: 1, float32 convolutions: 1' in str(graph)


def test_reads_what_this_backend_writes():
    def f(x):
        return jax.lax.fori_loop(0, 3, lambda _, x: jnp.sin(x @ x), x)

    graph = read_graph(jax.jit(f).lower(jnp.ones((32, 32))).compile().as_text())
    # Each round reads and writes 4 kB matrices at least four times: product and sine, in and out.
    assert graph.total_kernels >= 3 and graph.total_bytes >= 3 * 4 * 4096


def test_missing_compiler_says_how_to_install(tmp_path, monkeypatch):
    monkeypatch.delenv(h100.COMPILER_VARIABLE, raising=False)
    with pytest.raises(UserError, match=f'{h100.COMPILER_VARIABLE} is not set.*pip install.*=={jax.__version__}'):
        h100.compiler_library()
    with pytest.raises(UserError, match='pip install'):
        h100.compile_for_h100(jnp.sin, jnp.ones(3), compiler=str(tmp_path))
    library = tmp_path / 'jax_plugins' / 'xla_cuda12' / 'xla_cuda_plugin.so'
    library.parent.mkdir(parents=True)
    library.touch()
    (tmp_path / 'jax_cuda12_pjrt-0.1.dist-info').mkdir()
    with pytest.raises(UserError, match=f'not of JAX {jax.__version__}'):
        h100.compiler_library(str(tmp_path))


# --- What a fused kernel reads and writes.


def moved(lines, operands, result):
    """Bytes that a fusion of these lines moves."""
    body = '\n'.join(f'  {line}' for line in lines.strip().splitlines())
    names = ', '.join(f'%{number}' for number in range(len(operands)))
    parameters = '\n'.join(f'  %{number} = {shape} parameter({number})' for number, shape in enumerate(operands))
    program = hlo.read(
        f'%fused (x: f32[1]) -> f32[1] {{\n{body}\n}}\n\nENTRY %main (x: f32[1]) -> f32[1] {{\n{parameters}\n'
        f'  ROOT %y = {result} fusion({names}), kind=kLoop, calls=%fused\n}}\n'
    )
    ((instruction, shapes, _),) = program.launches()
    return program.moved_bytes(instruction, shapes)


UPDATE = """
%x = f32[8,64]{1,0} parameter(0)
%b = f32[512]{0} bitcast(%x)
%part = f32[16]{0} parameter(1)
%zero = s32[] constant(0)
ROOT %y = f32[512]{0} dynamic-update-slice(%b, %part, %zero)"""


def test_an_update_in_place_moves_the_part_that_is_new():
    operands = ['f32[8,64]', 'f32[16]']
    assert moved(UPDATE, operands, 'f32[512]') == 2 * 16 * 4
    # Where the array is read as well, all of it is copied.
    elsewhere = UPDATE.replace('%part = f32[16]{0} parameter(1)', '%part = f32[16]{0} slice(%b), slice={[3:19]}')
    assert moved(elsewhere, operands[:1], 'f32[512]') == 2 * 512 * 4


def test_parts_are_read_of_arrays_that_are_sliced():
    lines = """
%x = f32[8,64]{1,0} parameter(0)
%sine = f32[8,64]{1,0} sine(%x)
%rows = f32[2,64]{1,0} slice(%sine), slice={[3:5], [0:64]}
ROOT %y = f32[2,64]{1,0} add(%rows, %rows)"""
    assert moved(lines, ['f32[8,64]'], 'f32[2,64]') == 2 * (2 * 64) * 4 + 2 * 64 * 4
    # Columns are too narrow to be read alone.
    columns = lines.replace('[2,64]', '[8,1]').replace('{[3:5], [0:64]}', '{[0:8], [5:6]}')
    assert moved(columns, ['f32[8,64]'], 'f32[8,1]') == (8 * 64 + 8) * 4


def test_sums_read_all_that_they_add_up():
    lines = """
%x = f32[8,64]{1,0} parameter(0)
%zero = f32[] constant(0)
ROOT %y = f32[8]{0} reduce(%x, %zero), dimensions={1}, to_apply=%add"""
    assert moved(lines, ['f32[8,64]'], 'f32[8]') == (8 * 64 + 8) * 4
