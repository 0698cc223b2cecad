"""What each part of the exchange, and the start that the cloud makes, are worth."""

from ecct_tf.studies.drawings import quality_of_points
from ecct_tf.studies.study import Point, Study

__all__ = ["ablation"]


def ablation() -> Study:
    """ECCT whole, and without one part at a time."""
    return Study(
        name="ablation",
        question="What is each part of ECCT worth: each direction of the exchange, its logits, and "
        "the starting weights that the cloud makes?",
        axis="what is left out",
        points=(
            Point("whole"),
            Point("down only", ("exchange.up=false",)),
            Point("up only", ("exchange.down=false",)),
            Point("embeddings only", ("exchange.logits=false",)),
            Point("logits only", ("exchange.embeddings=false",)),
            Point("no exchange", ("exchange.down=false", "exchange.up=false")),
            Point("random start", ("edge.start=random",)),
        ),
        methods=("ecct",),
        reference="whole",
        drawings=(quality_of_points,),
        note="Without an exchange devices still begin with the cloud's weights and read its item "
        "table; with a random start they have the same number of rounds.",
    )
