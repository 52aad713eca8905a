"""What a pipeline holds goes with it."""

import gc
import weakref

from tests.trainer.conftest import new_network
from tests.trainer.plates import plate
from trainer.embed import Pipeline


def test_a_pipeline_that_is_done_is_freed_with_its_compiled_graph(spec, torch):
    """A study of dozens of fits in one process ran out of memory: each left its graph behind."""
    outputs = {}
    pipeline = Pipeline(new_network().embedding_graph(spec), outputs.__setitem__)
    pipeline.run([(0, plate(0))])
    gone = weakref.ref(pipeline)
    del pipeline
    gc.collect()
    assert gone() is None
    assert list(outputs) == [0]
