"""Threads of our own, and linear algebra that starts none beside them."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from overread.threads import blas_in_one_thread


def blas_threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_linear_algebra_has_one_thread_inside_and_its_own_after() -> None:
    with threadpool_limits(3, user_api="blas"):
        with pytest.raises(RuntimeError), blas_in_one_thread():
            assert blas_threads() == {1}
            raise RuntimeError
        assert blas_threads() == {3}
