"""What quality costs in bytes: codecs, questions, shared weights, and federated averaging."""

from ecct_tf.reporting.comparison import KINDS
from ecct_tf.reporting.spread import signed
from ecct_tf.studies.drawings import quality_by_bytes
from ecct_tf.studies.result import StudyResult
from ecct_tf.studies.study import Point, Study, Table
from ecct_tf.studies.table import interval_text

__all__ = ["communication", "uplinks_table"]

_AVERAGED = ("fedavg",)


def communication() -> Study:
    """ECCT with more and fewer bytes, beside federated averaging with the same codecs."""
    whole = ("exchange.codec=float32", "exchange.weights_codec=float32")
    half = ("exchange.codec=float16", "exchange.weights_codec=float16")
    small = ("exchange.codec=int8", "exchange.weights_codec=float16")
    return Study(
        name="communication",
        question="How many bytes does a device transmit for which quality?",
        axis="what crosses",
        points=(
            Point("float32", whole),
            Point("float16", half),
            Point("int8", small),
            Point("int8 and 6 questions", (*small, "exchange.queries=6")),
            Point("int8 and half the answers", (*small, "participation.dropout=0.5")),
            Point("int8 without logits", (*small, "exchange.logits=false")),
            Point("int8 without weights", (*small, "edge.shared=none")),
            Point("no exchange", (*small, "exchange.down=false", "exchange.up=false")),
            Point("averaging float32", whole, methods=_AVERAGED),
            Point("averaging float16", half, methods=_AVERAGED),
        ),
        methods=("ecct",),
        reference="float32",
        drawings=(quality_by_bytes,),
        tables=(uplinks_table,),
        note="Every byte is counted as encoded, and what devices and cloud work with has passed "
        "the codec.",
    )


def uplinks_table(result: StudyResult) -> Table | None:
    """Uplinks of each point against the reference's: bytes and quality; None without one."""
    reference = result.reference
    start = None if reference is None else reference.comparison.subject.traffic
    if reference is None or start is None or not start.parts["uplink"]:
        return None
    rows = []
    for point in result.points:
        for model in point.models:
            traffic = model.traffic
            ours = model.kind == KINDS[0] and model.side == "edge"
            if point is reference or not ours or traffic is None or not traffic.parts["uplink"]:
                continue
            rows.append(
                (
                    point.point.label,
                    f"{traffic.parts['uplink']:,.0f}",
                    f"{start.parts['uplink'] / traffic.parts['uplink']:.2f}",
                    f"{start.total.mean / traffic.total.mean:.2f}",
                    interval_text(result.change(point, model)),
                    _cloud_change(result, point.point.label),
                )
            )
    if not rows:
        return None
    label = result.label("hr")
    return Table(
        name="uplinks",
        title=f"Against {reference.point.label}",
        headings=(
            *("point", "uplink bytes", "uplinks smaller by", "in all smaller by"),
            *(f"edge {label}, 95 %", f"cloud {label}"),
        ),
        rows=tuple(rows),
        note=f"Uplink bytes of one device in one round; {reference.point.label} has "
        f"{start.parts['uplink']:,.0f}. The differences are paired over users and seeds; the "
        "cloud's is one of means.",
    )


def _cloud_change(result: StudyResult, label: str) -> str:
    found = []
    for wanted in (label, result.study.reference):
        for point in result.points:
            for model in point.models:
                quality = model.quality["hr"]
                ours = model.kind == KINDS[0] and model.side == "cloud"
                if point.point.label == wanted and ours and quality is not None:
                    found.append(quality.mean)
    return signed(found[0] - found[1]) if len(found) == 2 else "–"
