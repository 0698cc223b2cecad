"""What the tests of cycles share: a tiny configuration."""

import importlib.util

RUNTIME = "litert" if importlib.util.find_spec("ai_edge_litert") else "tensorflow"
USERS, ROUNDS, QUERIES, EDGE_DIM = 16, 2, 6, 3

SMALL = (
    f"runtime={RUNTIME}",
    "data.dataset=synthetic",
    f"data.synthetic_users={USERS}",
    "data.synthetic_items=120",
    f"rounds_per_cycle={ROUNDS}",
    "edge.tiers={linear: 0.5, mlp: 0.5}",
    f"edge.embedding_dim={EDGE_DIM}",
    "edge.hidden_dim=8",
    "samples.negatives=3",
    f"exchange.queries={QUERIES}",
    f"exchange.embedding_dim={EDGE_DIM}",
    "features.history_length=6",
    "features.last_items=2",
    "features.clock=true",
    "evaluation.negatives=20",
    "validation.negatives=20",
    "cloud.rank=3",
    "cloud.free_dim=2",
    "cloud.hidden_dim=4",
    "cloud.update_epochs=2",
    "cloud.next_item.epochs=1",
    "cloud.next_item.rank=3",
    "gate.minimum_gain=-1.0",
)
