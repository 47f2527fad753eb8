"""The GPUs of tasks on a real Slurm cluster of one node, whose GPUs are pretended; where Slurm and munge are installed.

On Debian: apt-get install --no-install-recommends slurm-wlm munge.
"""

import os
import pathlib
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import pytest

_PROGRAMS = 'slurmctld', 'slurmd', 'srun', 'sinfo', 'munged', 'setpriv'
_PATH = os.environ['PATH'] + ':/usr/sbin:/sbin'
_CONFIG = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 Gres=gpu:8 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
_TASK = """
import os
from stylegan_jax.runtime import slurm
mine = slurm.devices_of_task(os.environ)
seen = os.environ.get('CUDA_VISIBLE_DEVICES')
seen = range(8) if seen is None else seen.split(',')
print(os.environ['SLURM_PROCID'], *[seen[place] for place in mine or ()])
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        os.name != 'posix' or os.getuid() != 0 or not all(shutil.which(name, path=_PATH) for name in _PROGRAMS),
        reason='needs root, Slurm and munge',
    ),
]


@pytest.fixture(scope='module')
def srun():
    """Returns a function of the arguments of srun that starts tasks, and gives {task: GPUs that are its own}."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix='slurm', dir='/tmp'))  # munged wants parents that others cannot write
    host, sockets = platform.node().partition('.')[0], [socket.create_server(('', 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    folder.chmod(0o755)
    for name in 'munge', 'state', 'spool':
        (folder / name).mkdir()
    (folder / 'munge' / 'key').write_bytes(os.urandom(128))
    (folder / 'munge' / 'key').chmod(0o400)
    subprocess.run(['chown', '-R', 'munge:munge', folder / 'munge'], check=True)
    for number in range(8):
        subprocess.run(['mknod', folder / f'nvidia{number}', 'c', '195', str(number)], check=True)
    (folder / 'slurm.conf').write_text(_CONFIG.format(host=host, ports=ports, folder=folder))
    (folder / 'gres.conf').write_text(f'Name=gpu File={folder}/nvidia[0-7] Flags=nvidia_gpu_env\n')
    (folder / 'cgroup.conf').write_text('CgroupPlugin=cgroup/v1\n')
    environ = os.environ | {'PATH': _PATH, 'SLURM_CONF': str(folder / 'slurm.conf')}
    munge = [f'--{name}={folder}/munge/{name.partition("-")[0]}' for name in ('socket', 'key-file', 'pid-file')]
    munge += [f'--{name}-file={folder}/munge/{name}' for name in ('seed', 'log')]
    as_munge = ['setpriv', '--reuid=munge', '--regid=munge', '--clear-groups']
    daemons = []

    def run(*arguments):
        done = subprocess.run(arguments, env=environ, text=True, capture_output=True, timeout=60)
        return done.stdout

    def await_true(condition):
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, (folder / 'slurmctld.log').read_text()
            time.sleep(0.2)

    try:
        with open(folder / 'output', 'w') as output:
            for command in [*as_munge, 'munged', '--foreground', *munge], ['slurmctld', '-D'], ['slurmd', '-D']:
                daemons.append(subprocess.Popen(command, env=environ, stdout=output, stderr=output))
                if len(daemons) == 1:
                    await_true((folder / 'munge' / 'socket').exists)
        await_true(lambda: run('sinfo', '-h', '-o', '%t').strip() == 'idle')
        yield lambda *arguments: {
            int(line.split()[0]): line.split()[1:]
            for line in run('srun', *arguments, sys.executable, '-c', _TASK).splitlines()
        }
    finally:
        for daemon in reversed(daemons):
            daemon.kill()
            daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    'arguments, each',
    [
        (['-n2', '--gpus-per-task=1'], 1),
        (['-n2', '--gpus-per-task=2'], 2),
        (['-n2', '--gpus-per-node=2'], 1),
        (['-n2', '--gpus-per-node=8'], 4),
        (['-n1', '--gpus-per-node=8'], 8),
        (['-n2', '--gpus=4'], 2),
        (['-n4', '--gpus-per-node=4', '--gpu-bind=single:1'], 1),
        (['-n2', '--gpus-per-node=4', '--gpu-bind=none'], 2),
        (['-n2', '--gpus=2', '--ntasks-per-gpu=1'], 1),
        (['-n3', '--gpus-per-node=8'], 2),
        (['-n2'], 0),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_no_gpu_has_two_tasks_and_all_tasks_have_as_many(srun, arguments, each):
    found = srun(*arguments)
    assert sorted(found) == list(range(int(arguments[0][2:])))
    gpus = sum(found.values(), [])
    assert [len(mine) for mine in found.values()] == [each] * len(found) and len(set(gpus)) == len(gpus)
