"""What a compiled program sends between devices, by hand and from a program with one known sum."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from scripts.collectives import Sent, operations

TEXT = """
  %all-reduce.1 = f32[10,3]{1,0} all-reduce(f32[10,3]{1,0} %p), replica_groups={}
  %both = (f32[4]{0}, /*index=1*/bf16[2,2]{1,0}) all-reduce-start(f32[4]{0} %a, bf16[2,2]{1,0} %b), channel_id=1
  %all-gather = s32[8]{0} all-gather(s32[2]{0} %c), dimensions={0}
  %add = f32[10,3]{1,0} add(f32[10,3]{1,0} %all-reduce.1, f32[10,3]{1,0} %q)
  %moved = f32[] collective-permute(f32[] %d), source_target_pairs={{0,1}}
"""


def test_operations_and_their_bytes_are_read_from_the_text():
    assert operations(TEXT) == [
        Sent("all-reduce", 120),
        Sent("all-reduce", 16 + 8),
        Sent("all-gather", 32),
        Sent("collective-permute", 4),
    ]


@pytest.mark.parametrize(
    ("kind", "sent"), [("all-reduce", 150), ("all-gather", 75), ("collective-permute", 100), ("reduce-scatter", 300)]
)
def test_bytes_of_each_by_the_ring_algorithms(kind, sent):
    """Hand-worked for four devices and a result of 100 bytes."""
    assert Sent(kind, 100).by_each(4) == sent


def test_the_sum_of_a_gradient_is_found_in_a_real_program():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    summed = jax.shard_map(
        lambda x: jax.lax.psum(x, "data"), mesh=mesh, in_specs=PartitionSpec("data"), out_specs=PartitionSpec()
    )
    program = jax.jit(summed).lower(jnp.zeros((6, 5))).compile().as_text()
    assert operations(program) == [Sent("all-reduce", 3 * 5 * 4)]
