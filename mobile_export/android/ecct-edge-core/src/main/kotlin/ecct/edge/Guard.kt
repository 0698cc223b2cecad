package ecct.edge

/** Items that a held-back position is ranked against. */
private const val GUARD_NEGATIVES = 99

/** A history without the items that the file has no row for, which no position can have. */
internal class KnownHistory(val items: IntArray, val times: LongArray, val context: List<Codes>, val older: Int)

internal fun knownHistory(state: DeviceState, metadata: EdgeMetadata): KnownHistory {
    val rows = 1 until metadata.itemRows
    val kept = state.history.indices.filter { state.history[it] in rows }
    return KnownHistory(
        items = kept.map(state.history::get).toIntArray(),
        times = kept.map(state.times::get).toLongArray(),
        context = kept.map(state.context::get),
        older = state.history.take(state.olderItems).count { it in rows },
    )
}

/** The oldest position of a history of [size] items that a device could train on. */
internal fun firstPosition(size: Int, older: Int, positions: Int): Int = maxOf(1, older, size - positions)

/**
 * The newest positions of a history, which stay out of training: [guard] of them, but never more than
 * half of those that a device could train on.
 */
internal fun guardPositions(size: Int, older: Int, positions: Int, guard: Int): IntRange {
    val held = minOf(guard, maxOf(size - firstPosition(size, older, positions), 0) / 2)
    return size - held until size
}

/**
 * What a held-back position is ranked among: its item first, then 99 others outside the history, evenly
 * spread over the catalog. Nothing is drawn, so that all devices judge alike; null where the history
 * covers all [items].
 */
internal fun guardCandidates(history: IntArray, position: Int, items: Int): IntArray? {
    val others = ItemsOutside(history, items)
    if (others.size < 1) return null
    // The middles of as many stretches of the same length.
    return IntArray(1 + GUARD_NEGATIVES) {
        if (it == 0) {
            history[position]
        } else {
            others.item(((2L * it - 1) * others.size / (2L * GUARD_NEGATIVES)).toInt())
        }
    }
}

/** A position that a device does not train on, as `score` reads it. */
internal class HeldBack(val history: IntArray, val candidates: IntArray, val clock: FloatArray)

/** The held-back positions of a device; none for a file without a guard. */
internal fun heldBack(state: DeviceState, metadata: EdgeMetadata): List<HeldBack> {
    val defaults = metadata.trainingDefaults
    val known = knownHistory(state, metadata)
    return guardPositions(known.items.size, known.older, defaults.positions, defaults.guardPositions)
        .mapNotNull { position ->
            guardCandidates(known.items, position, metadata.itemRows - 1)?.let { candidates ->
                HeldBack(
                    padHistory(known.items, metadata.historyLength, position),
                    candidates,
                    clockReading(known.times, known.times[position], metadata.historyLength, position),
                )
            }
        }
}

/** The place of the first of [logits] among all, from 0; a tie counts against it. */
internal fun guardPlace(logits: List<Float>): Int = logits.drop(1).count { !(it < logits[0]) }
