package ecct.edge

/**
 * Training samples of one device, shuffled.
 *
 * @property histories `[N][L] int32`, what came before each sample, newest last, 0 at the front.
 * @property candidates `[N] int32`.
 * @property labels `[N] float32`, 1 for an interaction, 0 for a negative, or grades.
 * @property weights `[N] float32`, how much each sample weighs in the loss.
 * @property clocks `[N][W] float32`, what the clock said when each interaction happened; null for
 *   a model without a clock.
 * @property targets `[N][T] float32`, labels of the further targets; null for a model without any.
 */
internal class Samples(
    val histories: Array<IntArray>,
    val candidates: IntArray,
    val labels: FloatArray,
    val weights: FloatArray,
    val clocks: Array<FloatArray>?,
    val targets: Array<FloatArray>? = null,
) {
    val size: Int get() = candidates.size
}

/** The newest [length] of the first [end] items of [history], padded with 0 at the front. */
internal fun padHistory(history: IntArray, length: Int, end: Int = history.size): IntArray {
    val padded = IntArray(length)
    val taken = minOf(length, end)
    history.copyInto(padded, length - taken, end - taken, end)
    return padded
}

/**
 * Samples as the simulation's devices make them: each of the newest positions that the cloud
 * does not know, with what came before it, and items that the user never touched; shuffled once.
 * The very newest, which the device judges by, are left out.
 *
 * @param seed fixes negatives and order.
 * Without such a position there are none.
 *
 * @throws InputException when the history covers every item.
 */
internal fun drawSamples(
    state: DeviceState,
    metadata: EdgeMetadata,
    options: TrainingOptions,
    seed: Long,
): Samples {
    val defaults = metadata.trainingDefaults
    val negatives = options.negatives ?: defaults.negatives
    val group = defaults.groupSize
    if (group != 1 && group != 1 + negatives) {
        throw InputException(
            "train: expected ${group - 1} negatives, as the file's loss reads positions, got $negatives; " +
                "leave negatives out",
        )
    }
    // A state may name items that came after the file was made; they have no row to learn from.
    val known = knownHistory(state, metadata)
    val history = known.items
    val positions = options.positions ?: defaults.positions
    val first = firstPosition(history.size, known.older, positions)
    if (first >= history.size) {
        val clocks = if (metadata.readsClock) emptyArray<FloatArray>() else null
        return Samples(emptyArray(), IntArray(0), FloatArray(0), FloatArray(0), clocks)
    }
    // By the newest the device judges what training gave it.
    val held = guardPositions(history.size, known.older, positions, defaults.guardPositions)
    val random = SplitMix64(seed)
    val drawn = NegativeSampler(history, metadata.itemRows - 1)
    val histories = ArrayList<IntArray>()
    val candidates = ArrayList<Int>()
    val labels = ArrayList<Float>()
    val weights = ArrayList<Float>()
    val clocks = ArrayList<FloatArray>()
    val targets = ArrayList<FloatArray>()
    val outcomes = metadata.outcomes
    for (position in first until held.first) {
        val before = padHistory(history, metadata.historyLength, position)
        val reading = clockReading(known.times, known.times[position], metadata.historyLength, position)
        val others = drawn.row(random, negatives)
        val codes = known.context[position]
        val weight = positionWeight(newer = held.first - 1 - position, halfLife = defaults.halfLife) * outcomes.weight(codes)
        for (index in 0..negatives) {
            histories += before
            clocks += reading
            candidates += if (index == 0) history[position] else others[index - 1]
            labels += if (index == 0) outcomes.label(codes) else outcomes.negative
            weights += weight
            targets += outcomes.targetLabels(codes, isOwn = index == 0)
        }
    }
    // What belongs together stays so, in its order.
    val order =
        shuffled(candidates.size / group, random)
            .flatMap { place -> List(group) { place * group + it } }
            .toIntArray()
    return Samples(
        Array(order.size) { histories[order[it]] },
        IntArray(order.size) { candidates[order[it]] },
        FloatArray(order.size) { labels[order[it]] },
        FloatArray(order.size) { weights[order[it]] },
        if (metadata.readsClock) Array(order.size) { clocks[order[it]] } else null,
        if (metadata.targets.isNotEmpty()) Array(order.size) { targets[order[it]] } else null,
    )
}

/**
 * How much a position weighs in the loss that has so many [newer] ones among those that are trained
 * on: half behind [halfLife] of them; all alike where that is 0. One division of floats, as in the
 * simulation.
 */
internal fun positionWeight(newer: Int, halfLife: Int): Float =
    if (halfLife == 0) 1f else halfLife.toFloat() / (halfLife + newer).toFloat()

/** With so many items for each that a position has, a position seldom repeats one. */
private const val AMPLE = 8

/** The items of `1..items` outside [positives], by their rank among them. */
internal class ItemsOutside(positives: IntArray, items: Int) {
    private val known = positives.toSortedSet().toIntArray()

    /** How many there are. */
    val size: Int = items - known.size

    /** The item of a [rank], from 0: no rejection is needed, however long the history. */
    fun item(rank: Int): Int {
        var low = 0
        var high = known.size
        while (low < high) {
            val middle = (low + high) / 2
            // Items below known[middle] that are not known themselves.
            if (known[middle] - middle - 1 <= rank) low = middle + 1 else high = middle
        }
        return rank + 1 + low
    }
}

/** Draws items in `1..items` outside [positives], uniformly. */
internal class NegativeSampler(positives: IntArray, items: Int) {
    private val others = ItemsOutside(positives, items)
    private val remaining = others.size

    init {
        if (remaining < 1) {
            throw InputException(
                "train: expected an item outside the history, it covers all $items; train on less of it",
            )
        }
    }

    /**
     * The negatives of one position, as the simulation's devices draw them: each by itself in a
     * large catalog; in a small one all different, or each item equally often, or once more,
     * where fewer are left than [size].
     */
    fun row(random: SplitMix64, size: Int): IntArray {
        if (remaining >= AMPLE * size) return IntArray(size) { others.item(random.below(remaining)) }
        val pack = IntArray(remaining) { it }
        return IntArray(size) { draw ->
            // What was drawn goes behind what is left.
            val last = remaining - 1 - draw % remaining
            val place = random.below(last + 1)
            others.item(pack[place]).also { pack[place] = pack[last].also { pack[last] = pack[place] } }
        }
    }
}

/** `0 until size` in a random order (Fisher and Yates). */
private fun shuffled(size: Int, random: SplitMix64): IntArray {
    val order = IntArray(size) { it }
    for (last in size - 1 downTo 1) {
        val chosen = random.below(last + 1)
        order[last] = order[chosen].also { order[chosen] = order[last] }
    }
    return order
}

/** A batch of [size] samples as `train` reads it, in [rows] rows: those of mask 0 are padding. */
internal fun Samples.batch(start: Int, size: Int, rows: Int): Map<String, Any> {
    val used = minOf(size, this.size - start)
    val length = histories.first().size
    fun padded(values: Array<FloatArray>): Array<FloatArray> {
        val width = values.first().size
        return Array(rows) { if (it < used) values[start + it] else FloatArray(width) }
    }
    val timed = clocks?.let { mapOf("clock" to padded(it)) }.orEmpty()
    val labelled = targets?.let { mapOf("target_labels" to padded(it)) }.orEmpty()
    return timed + labelled + mapOf(
        "history" to Array(rows) { if (it < used) histories[start + it] else IntArray(length) },
        "candidates" to IntArray(rows) { if (it < used) candidates[start + it] else 0 },
        "labels" to FloatArray(rows) { if (it < used) labels[start + it] else 0f },
        "mask" to FloatArray(rows) { if (it < used) weights[start + it] else 0f },
    )
}
