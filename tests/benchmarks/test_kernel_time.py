"""The model of kernel times against two profiles of a real GPU, and against what it was told of single forms.

The profiles are of configuration F on an NVIDIA H200 (2026-11-27, commit 322d52d, JAX 0.11.2); names in their programs
are shortened, and where instructions come from is left out.
"""

import pathlib

import pytest

from stylegan_jax.benchmarks import kernel_time, profile

PROFILES = pathlib.Path(__file__).with_name('profiles')


def profile_of(name):
    return profile.read(PROFILES / f'{name}.json.gz')


@pytest.mark.parametrize('name', ['1024-b8', '256-b32'])
def test_reproduces_a_profile(name):
    measured = profile_of(name)
    predicted = kernel_time.milliseconds(kernel_time.predict(measured['program'])) * 1e3
    assert predicted == pytest.approx(measured['microseconds'], rel=0.1)


@pytest.mark.parametrize('name', ['1024-b8', '256-b32'])
def test_convolutions_of_a_profile(name):
    """These are a third to a half of a step, and the model knows them best."""
    measured = profile_of(name)
    for kind in 'convolution', 'input gradient', 'filter gradient':
        kernels = [k for k in kernel_time.predict(measured['program']) if k.kind == kind]
        known = [k for k in kernels if k.name in measured['kernels']]
        assert len(known) > 0.9 * len(kernels)
        assert sum(k.microseconds for k in known) == pytest.approx(
            sum(measured['kernels'][k.name][1] for k in known), rel=0.1
        )


def test_the_dearest_kernels_come_first():
    kernels = kernel_time.predict(profile_of('1024-b8')['program'])
    assert [k.microseconds for k in kernels] == sorted((k.microseconds for k in kernels), reverse=True)
    lines = kernel_time.table(kernels, rows=20).splitlines()
    assert len(lines) == 21
    # Both bias, rectifier and blur of the discriminator's first convolution, for real and generated images.
    assert '(bf16[8,1024,1024,16], bf16[8,1024,1024,16])' in lines[1] and 'elementwise' in lines[1]


CONVOLUTION = """
ENTRY %main (x: bf16[1], k: bf16[1]) -> bf16[1] {
  %x = bf16[8,1024,1024,16]{3,2,1,0} parameter(0)
  %k = bf16[16,3,3,16]{3,2,1,0} parameter(1)
  ROOT %y = (bf16[8,1024,1024,16]{3,2,1,0}, u8[0]{0}) custom-call(%x, %k), WINDOW
}
"""


@pytest.mark.parametrize(
    'width, features, microseconds', [(1024, 16, 816), (256, 64, 323), (512, 32, 400)], ids=['plain', '4', '2']
)
def test_convolutions_in_blocks_of_pixels(width, features, microseconds):
    """The measured time of a 3x3 convolution of 16 features, by pixels and by blocks of 4 and 2 pixels."""
    text = CONVOLUTION.replace('WINDOW', 'window={size=3x3 pad=1_1x1_1}, custom_call_target="__cudnn$convForward"')
    text = text.replace('1024,16]', f'{width},{features}]').replace('[16,3,3,16]', f'[{features},3,3,{features}]')
    (kernel,) = kernel_time.predict(text)
    assert kernel.kind == 'convolution'
    assert kernel.microseconds == pytest.approx(microseconds, rel=0.1)


def blur(axes, rectifies=True):
    """HLO of bias, rectifier (or neither) and one expression of a blur along some axes, as XLA fuses it.

    XLA knows that the tap in the middle is inside of the image.
    """
    shape, lines, count = 'f32[8,1024,1024,16]{3,2,1,0}', [], 3 ** len(axes)
    sides = [8, 1024, 1024, 16]
    padded = ','.join(str(side + 2 * (axis in axes)) for axis, side in enumerate(sides))
    edges = 'x'.join('1_1' if axis in axes else '0_0' for axis in range(4))
    for number in range(count):
        offsets = [number // 3**place % 3 for place in range(len(axes))]
        starts = [offsets[axes.index(axis)] if axis in axes else 0 for axis in range(4)]
        slices = ', '.join(f'[{start}:{start + side}]' for start, side in zip(starts, sides))
        tap = '%r' if number == count // 2 else f'%s{number}'
        lines.append(f'  %s{number} = {shape} slice(%p), slice={{{slices}}}')
        lines.append(f'  %a{number} = {shape} add(%{f"a{number - 1}" if number else "zeros"}, {tap})')
    body = '\n'.join(lines)
    copy = f'  %r = {shape} bitcast(%c)'
    rectifier = f"""
  %bias = {shape} broadcast(%b), dimensions={{3}}
  %pre = {shape} add(%c, %bias)
  %low = {shape} multiply(%pre, %zeros)
  %r = {shape} maximum(%pre, %low)"""
    return f"""
%fused (x: bf16[1], b: f32[1]) -> bf16[1] {{
  %x = bf16[8,1024,1024,16]{{3,2,1,0}} parameter(0)
  %b = f32[16]{{0}} parameter(1)
  %zero = f32[] constant(0)
  %zeros = {shape} broadcast(%zero), dimensions={{}}
  %c = {shape} convert(%x)
{rectifier if rectifies else copy}
  %p = f32[{padded}]{{3,2,1,0}} pad(%r, %zero), padding={edges}
{body}
  ROOT %y = bf16[8,1024,1024,16]{{3,2,1,0}} convert(%a{count - 1})
}}

ENTRY %main (x: bf16[1], b: f32[1]) -> bf16[1] {{
  %x.1 = bf16[8,1024,1024,16]{{3,2,1,0}} parameter(0)
  %b.1 = f32[16]{{0}} parameter(1)
  ROOT %y.1 = bf16[8,1024,1024,16]{{3,2,1,0}} fusion(%x.1, %b.1), kind=kLoop, calls=%fused
}}
"""


def test_a_blur_of_two_passes_is_faster_than_one_of_nine_taps():
    """Measured: 895 us in one expression; 417 us in two passes, of which the first has bias and rectifier."""
    one, rows, columns = (
        kernel_time.milliseconds(kernel_time.predict(blur(*arguments))) * 1e3
        for arguments in (((1, 2),), ((1,),), ((2,), False))
    )
    assert one == pytest.approx(895, rel=0.2)
    assert rows + columns == pytest.approx(417, rel=0.2)
