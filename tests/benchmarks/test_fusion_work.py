"""Counts of evaluations in fused kernels, on small computations in the form that XLA writes."""

import pytest

from stylegan_jax.benchmarks import fusion_work, hlo


def work(lines):
    body = '\n'.join(f'  {line}' for line in lines.strip().splitlines())
    return fusion_work.count(hlo.read(f'%fused (x: f32[1]) -> f32[1] {{\n{body}\n}}\n').computations['fused'])


ELEMENTS = 512 * 512  # more than stays in the caches


def test_elementwise():
    counted = work("""
%x = f32[512,512]{1,0} parameter(0)
%y = f32[512,512]{1,0} add(%x, %x)
ROOT %z = bf16[512,512]{1,0} convert(%y)""")
    assert counted == fusion_work.Work(plain=2 * ELEMENTS, tests=0, guarded=0, reduced=0, longest=0)


def test_what_is_read_at_two_places_is_evaluated_twice():
    counted = work("""
%x = f32[513,512]{1,0} parameter(0)
%sine = f32[513,512]{1,0} sine(%x)
%one = f32[512,512]{1,0} slice(%sine), slice={[0:512], [0:512]}
%two = f32[512,512]{1,0} slice(%sine), slice={[1:513], [0:512]}
ROOT %z = f32[512,512]{1,0} add(%one, %two)""")
    assert counted.plain == 3 * ELEMENTS


def test_two_ways_to_one_place_are_one_evaluation():
    counted = work("""
%x = f32[512,512]{1,0} parameter(0)
%sine = f32[512,512]{1,0} sine(%x)
%zero = f32[] constant(0)
%padded = f32[514,512]{1,0} pad(%sine, %zero), padding=1_1x0_0
%middle = f32[512,512]{1,0} slice(%padded), slice={[1:513], [0:512]}
ROOT %z = f32[512,512]{1,0} add(%middle, %middle)""")
    # Once, behind the test of one axis: the sine, and the number that it reads.
    assert counted == fusion_work.Work(plain=ELEMENTS, tests=ELEMENTS, guarded=2 * ELEMENTS, reduced=0, longest=0)


@pytest.mark.parametrize('edges, axes', [('1_1x0_0', 1), ('1_1x1_1', 2)])
def test_guarded_evaluations_count_for_each_axis_that_is_tested(edges, axes):
    height, width = (512 + 2 * (edge != '0_0') for edge in edges.split('x'))
    counted = work(f"""
%x = f32[512,512]{{1,0}} parameter(0)
%zero = f32[] constant(0)
%padded = f32[{height},{width}]{{1,0}} pad(%x, %zero), padding={edges}
ROOT %z = f32[512,512]{{1,0}} slice(%padded), slice={{[0:512], [0:512]}}""")
    assert counted == fusion_work.Work(0, axes * ELEMENTS, axes * ELEMENTS, 0, 0)


def test_a_stored_result_and_its_sum_are_one_evaluation():
    counted = work("""
%x = f32[512,512]{1,0} parameter(0)
%sine = f32[512,512]{1,0} sine(%x)
%zero = f32[] constant(0)
%sum = f32[512]{0} reduce(%sine, %zero), dimensions={0}, to_apply=%add
ROOT %both = (f32[512,512]{1,0}, f32[512]{0}) tuple(%sine, %sum)""")
    assert (counted.reduced, counted.longest) == (ELEMENTS, 512)
    assert counted.plain == ELEMENTS + 512  # the sine once, and the numbers of the sum


def test_neighbours_in_memory_are_no_long_sum():
    counted = work("""
%x = f32[512,512]{1,0} parameter(0)
%zero = f32[] constant(0)
ROOT %sum = f32[512]{0} reduce(%x, %zero), dimensions={1}, to_apply=%add""")
    assert (counted.reduced, counted.longest) == (ELEMENTS, 0)


def test_an_update_in_place_is_evaluated_where_it_is_new():
    counted = work("""
%x = f32[512,512]{1,0} parameter(0)
%part = f32[2,512]{1,0} parameter(1)
%sine = f32[2,512]{1,0} sine(%part)
%zero = s32[] constant(0)
ROOT %z = f32[512,512]{1,0} dynamic-update-slice(%x, %sine, %zero, %zero)""")
    assert counted.plain == 2 * 512
