package ecct.edge

/**
 * What the model says of a candidate.
 *
 * @property item its token, as it was given.
 * @property logit z_e; order by it.
 * @property probability the sigmoid of the logit.
 * @property known false for an item that the model does not have: it was scored as no item.
 */
public data class Score(
    public val item: String,
    public val logit: Float,
    public val probability: Float,
    public val known: Boolean,
)
