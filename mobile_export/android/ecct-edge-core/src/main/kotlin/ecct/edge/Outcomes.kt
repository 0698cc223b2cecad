package ecct.edge

/** Stands for a missing label of a further target; labels are in 0..1. */
internal const val NO_LABEL = -1f

/**
 * How what came of interactions counts in training, from `samples` of the metadata, as
 * `ecct_tf.data.outcomes` of Python has it.
 *
 * @property grade labels of interactions in place of 1; null for none.
 * @property weight of interactions and their negatives; null for none.
 * @property targets further ones, such as a like, in the order of their heads.
 */
internal class Outcomes private constructor(
    val grade: Rule?,
    val weight: Rule?,
    val targets: List<Target>,
) {
    /** By a column of the interactions, a public number for each of its values; [unknown] for any other. */
    class Rule(val column: String, val values: Map<String, Float>, val unknown: Float, val negatives: Float?)

    /** A further target; [rule] tells its labels, those of negatives among them. */
    class Target(val name: String, val rule: Rule)

    /** Columns whose values the device keeps with each interaction. */
    val columns: List<KeptColumn> =
        LinkedHashMap<String, MutableSet<String>>().apply {
            for (rule in listOfNotNull(grade, weight) + targets.map { it.rule }) {
                getOrPut(rule.column) { mutableSetOf() } += rule.values.keys
            }
        }.map { (name, values) -> KeptColumn(name, values.sortedWith(CODE_POINTS)) }

    /** The label of a position's own item, whose interaction has [codes]. */
    fun label(codes: Codes): Float = grade?.of(codes) ?: 1f

    /** The label of negatives. */
    val negative: Float = grade?.negatives ?: 0f

    /** How much the position weighs. */
    fun weight(codes: Codes): Float = weight?.of(codes) ?: 1f

    /** Labels of the further targets: `[T]`, [NO_LABEL] where there is none. */
    fun targetLabels(codes: Codes, isOwn: Boolean): FloatArray =
        FloatArray(targets.size) { place ->
            val rule = targets[place].rule
            val own = rule.of(codes)
            if (isOwn || own < 0f) own else rule.negatives ?: NO_LABEL
        }

    private fun Rule.of(codes: Codes): Float {
        val place = columns.indexOfFirst { it.name == column }
        return values[columns[place].word(codes[place])] ?: unknown
    }

    companion object {
        private val NONE = Outcomes(null, null, emptyList())

        /** Reads what [samples] of the metadata tell; null for files of before they did. */
        fun of(samples: JsonObject?): Outcomes {
            if (samples == null) return NONE
            val targets = if (samples.has("targets")) samples.child("targets") else null
            return Outcomes(
                grade = rule(samples, "grade", unknown = 1f),
                weight = rule(samples, "weight", unknown = 1f),
                targets =
                    targets?.names.orEmpty().sortedWith(CODE_POINTS).map { name ->
                        Target(name, checkNotNull(rule(checkNotNull(targets), name, unknown = NO_LABEL)))
                    },
            )
        }

        private fun rule(from: JsonObject, name: String, unknown: Float): Rule? {
            if (!from.has(name)) return null
            val told = from.child(name)
            val values = told.child("values")
            return Rule(
                column = told.text("column"),
                values = values.names.associateWith(values::share),
                unknown = if (told.has("unknown")) told.share("unknown") else unknown,
                negatives = if (told.has("negatives")) told.share("negatives") else null,
            )
        }

        // As Python sorts them; UTF-16 has another order beyond the first plane.
        private val CODE_POINTS =
            Comparator<String> { one, other ->
                val (here, there) = listOf(one, other).map { it.codePoints().toArray() }
                val place = (0 until minOf(here.size, there.size)).firstOrNull { here[it] != there[it] }
                if (place == null) here.size - there.size else here[place] - there[place]
            }
    }
}

private fun JsonObject.share(name: String): Float {
    val share = number(name)
    if (share !in 0.0..1.0) throw JsonException("$name: expected a number in 0..1, got $share")
    return share.toFloat()
}
