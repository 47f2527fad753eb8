"""Which GPUs are a task's own, by the environments that Slurm 22.05 gave tasks on a node of 8 pretended GPUs."""

import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.runtime.slurm import devices_of_task, num_tasks


def environment(tasks, local, visible, on_node, **others):
    """That of a task of a step of one node; None leaves a variable out."""
    variables = {
        'SLURM_STEP_NUM_TASKS': str(tasks),
        'SLURM_STEP_TASKS_PER_NODE': str(tasks),
        'SLURM_STEP_NUM_NODES': '1',
        'SLURM_LOCALID': str(local),
        'SLURM_NODEID': '0',
        'CUDA_VISIBLE_DEVICES': visible,
        'SLURM_GPUS_ON_NODE': on_node,
    }
    return {name: value for name, value in (variables | others).items() if value is not None}


@pytest.mark.parametrize(
    'tasks, visible, on_node, expected',
    [
        pytest.param(2, ['0', '1'], '2', [[0], [0]], id='srun -n2 --gpus-per-task=1'),
        pytest.param(2, ['0', '0'], '2', [[0], [0]], id='the same in a cgroup of its own'),
        pytest.param(2, ['0,1', '2,3'], '4', [[0, 1], [0, 1]], id='srun -n2 --gpus-per-task=2'),
        pytest.param(2, ['0,1', '0,1'], '2', [[0], [1]], id='srun -n2 --gpus-per-node=2'),
        pytest.param(2, ['0,1,2,3,4,5,6,7'] * 2, '8', [[0, 1, 2, 3], [4, 5, 6, 7]], id='srun -n2 --gpus-per-node=8'),
        pytest.param(1, ['0,1,2,3,4,5,6,7'], '8', [[0, 1, 2, 3, 4, 5, 6, 7]], id='srun -n1 --gpus-per-node=8'),
        pytest.param(2, ['0,1,2,3'] * 2, '4', [[0, 1], [2, 3]], id='srun -n2 --gpus=4'),
        pytest.param(4, ['0', '1', '2', '3'], '4', [[0]] * 4, id='srun -n4 --gpus-per-node=4 --gpu-bind=single:1'),
        pytest.param(2, ['0', '1'], '4', [[0], [0]], id='srun -n2 --gpus-per-node=4 --gpu-bind=map_gpu:0,1'),
        pytest.param(2, [None, None], '4', [[0, 1], [2, 3]], id='srun -n2 --gpus-per-node=4 --gpu-bind=none'),
        pytest.param(3, ['0,1,2,3,4,5,6,7'] * 3, '8', [[0, 1], [2, 3], [4, 5]], id='srun -n3 --gpus-per-node=8'),
        pytest.param(2, ['MIG-a,MIG-b'] * 2, '2', [[0], [1]], id='parts of a GPU'),
        pytest.param(2, ['NoDevFiles', ''], '0', [None, None], id='no GPU for this step'),
        pytest.param(2, ['0,1', '0,1'], '', [[0], [1]], id='a variable that is empty'),
    ],
)
def test_the_gpus_of_a_task(tasks, visible, on_node, expected):
    found = [devices_of_task(environment(tasks, local, visible[local], on_node)) for local in range(tasks)]
    assert found == expected


@pytest.mark.parametrize('tasks, visible', [(4, '0,1'), (2, '0')])
def test_more_tasks_than_gpus_are_refused(tasks, visible):
    given = environment(tasks, 0, visible, str(len(visible.split(','))))
    with pytest.raises(UserError, match=rf'{tasks} tasks of Slurm share . GPUs of a node; start at most . a node'):
        devices_of_task(given)


def test_each_node_has_its_own_number_of_tasks():
    """`srun -N3 -n5 --gpus-per-node=2`: two nodes of two tasks, and one of one task, which takes both GPUs."""
    for node, local, expected in ((0, 1, [1]), (1, 0, [0]), (2, 0, [0, 1])):
        given = environment(5, local, '0,1', '2', SLURM_STEP_TASKS_PER_NODE='2(x2),1', SLURM_NODEID=str(node))
        assert devices_of_task(given) == expected


def test_without_slurm_there_is_nothing_to_choose():
    assert devices_of_task({}) is None and devices_of_task({'CUDA_VISIBLE_DEVICES': '0,1'}) is None
    assert devices_of_task(environment(2, 0, '0,1', '2', JAX_LOCAL_DEVICE_IDS='1')) is None
    assert devices_of_task(environment(2, 0, None, None)) is None  # no GPU in this machine


def test_gpus_that_slurm_does_not_know_are_those_of_the_driver(tmp_path, monkeypatch):
    (tmp_path / '0000:01:00.0').mkdir()
    (tmp_path / '0000:02:00.0').mkdir()
    monkeypatch.setattr('stylegan_jax.runtime.slurm._DRIVER', str(tmp_path))
    assert devices_of_task(environment(2, 1, None, None)) == [1]


@pytest.mark.parametrize('value, expected', [('', 1), (' ', 1), ('2', 2), ('x', 1), (None, 1)])
def test_an_empty_number_of_tasks_is_one(value, expected):
    assert num_tasks(environment(2, 0, None, None, SLURM_STEP_NUM_TASKS=value)) == expected
