"""Tests of this folder skip where Stable-Baselines3 (extra ``online``) is not installed."""

import pytest

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")
