"""What ECCT must beat, on the same data path.

`popularity` ranks by how many devices touched an item and knows nothing of the
person. `ease` is a linear item-item model in closed form, hard to beat on small
data, `factored_ease` the same model for tens of thousands of items. All take plain
item histories, oldest first, and the same candidates as ECCT, so that the only
thing that differs between the rows of a result table is the model. Give them every
device's whole training part and they show what a cloud without any privacy could
do; give them the cloud's view and they show what it can do alone. `silent_cloud`
holds the cloud that says nothing, for edge-only runs.

The trained baselines are algorithms of a run, like ECCT itself. `federated` learns from what
devices hold and from nothing else: FedAvg, FedProx, fine-tuning after FedAvg, and PFedRec
without its leak. `centralized` is the upper bound, the edge model with all data in one place.
They are imported from their modules, since they need TensorFlow Federated or the cloud, and
the cloud needs `fit_ease` from here.
"""

from ecct_tf.baselines.ease import Ease, ease_scores, fit_ease, fit_item_weights
from ecct_tf.baselines.factored_ease import FactoredEase, fit_factored_ease
from ecct_tf.baselines.popularity import popularity_scores

__all__ = [
    "Ease",
    "FactoredEase",
    "ease_scores",
    "fit_ease",
    "fit_factored_ease",
    "fit_item_weights",
    "popularity_scores",
]
