"""The packages of a build: those found below stylegan_jax, and the folder experiments as one of them."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=['stylegan_jax', 'stylegan_jax.*']), 'stylegan_jax.experiments'])
