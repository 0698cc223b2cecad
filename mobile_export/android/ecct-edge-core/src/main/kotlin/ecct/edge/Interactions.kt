package ecct.edge

/**
 * The state, which belongs to [model], after interactions with [items], oldest first; and how many of them
 * the model knows. The others wait in the state until a model knows them.
 */
internal fun DeviceState.withInteractions(
    model: ModelFile,
    items: List<String>,
    moments: LongArray,
    codes: List<Codes>,
): Pair<DeviceState, Int> {
    if (items.isEmpty()) return this to 0
    val rows = items.map(model::itemRow)
    val known = rows.indices.filter { rows[it] != 0 }
    val waiting =
        (rows.indices - known.toSet()).map { place ->
            val before = historySize + known.count { it < place }
            StateLabels.Waiting(items[place], before, moments[place], codes[place])
        }
    val told = labels ?: checkNotNull(labelled(model).labels)
    val after =
        copy(
            history = history + known.map(rows::get),
            times = times + known.map(moments::get),
            context = context + known.map(codes::get),
            labels = told.copy(waiting = told.waiting + waiting),
        )
    return after to known.size
}

/** Says how many of the [oldest] interactions the cloud has too. */
internal fun DeviceState.withOlder(oldest: Int): DeviceState {
    if (oldest !in 0..history.size) {
        throw InputException("history: expected a number in 0..${history.size}, got $oldest")
    }
    return copy(
        olderItems = oldest,
        labels = labels?.let { it.copy(waitingOlder = it.waiting.count { each -> each.place < oldest }) },
    )
}
