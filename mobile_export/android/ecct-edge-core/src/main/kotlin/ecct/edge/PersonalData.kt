package ecct.edge

/** What [state] keeps of its user, as values that [jsonText] writes. */
internal fun personalData(state: DeviceState, model: ModelFile): Map<String, Any?> =
    mapOf(
        "user" to state.user.toDouble(),
        "model" to state.model,
        "rounds" to state.round.toDouble(),
        "profile" to
            model.metadata.profile.indices.associate { index ->
                model.metadata.profile[index].name to model.profileValue(index, state.profile[index])
            },
        "interactions" to
            state.history.indices.map { place ->
                mapOf(
                    "item" to (model.itemToken(state.history[place]) ?: state.history[place].toString()),
                    "time" to state.times[place].takeIf { it != UNKNOWN_TIME }?.toDouble(),
                    "known_to_cloud" to (place < state.olderItems),
                ) + if (state.columns.isEmpty()) emptyMap() else mapOf("context" to contextWords(state.context[place], state.columns))
            },
        "weights" to state.values.map { it.toDouble() },
        "start" to state.start.map { it.toDouble() },
        "downlink" to state.downlink?.let(::downlinkData),
        "labels" to state.labels?.values { contextWords(it, state.columns) },
    )

private fun downlinkData(downlink: Downlink): Map<String, Any?> =
    mapOf(
        "round" to downlink.round.toDouble(),
        "cloud_version" to downlink.cloudVersion.toDouble(),
        "queries" to downlink.queries.map { it.toDouble() },
    )
