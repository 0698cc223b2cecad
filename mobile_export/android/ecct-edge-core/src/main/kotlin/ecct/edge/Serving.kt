package ecct.edge

/** The weights of one interpreter, as a state has them. */
internal class LoadedWeights(private val runner: SignatureRunner) {
    /** `[S] float32`, what the interpreter holds. */
    fun values(): FloatArray = runner.read("save").floats("state").onEach { finite("save", it) }

    fun restore(values: FloatArray) = accepted("restore", mapOf("state" to values))

    fun set(weights: FloatArray) = accepted("set_weights", mapOf("weights" to weights))

    /** Runs [block]; when it throws, the interpreter has [values] again. */
    fun <T> undoable(values: () -> FloatArray, block: () -> T): T =
        try {
            block()
        } catch (error: Throwable) {
            runCatching { restore(values()) }.onFailure(error::addSuppressed)
            throw error
        }

    private fun accepted(signature: String, inputs: Map<String, Any>) {
        if (runner.run(signature, inputs).single("accepted") != 1f) {
            throw RefusedException(
                "$signature: expected finite values of plausible size, the model refused them and keeps " +
                    "its weights; fetch them again",
            )
        }
    }
}

internal fun finite(signature: String, value: Float) {
    if (!value.isFinite()) {
        throw RefusedException("$signature: expected finite values, the model answered $value; open it again")
    }
}

/** Scores for a device, with the trained weights or, where those serve worse, with the start's. */
internal class Serving(
    private val model: ModelFile,
    private val runner: SignatureRunner,
    private val weights: LoadedWeights,
) {
    private val metadata = model.metadata

    // The newest state that was judged, and whether its start serves.
    private var judged: Pair<DeviceState, Boolean>? = null

    /** Whether the start of [state], whose weights are loaded, serves in the place of the trained weights. */
    fun servesStart(state: DeviceState): Boolean {
        if (state.start.isEmpty() || !metadata.guards) return false
        judged?.let { (before, start) -> if (before === state) return start }
        val held = heldBack(state, metadata)
        val trained = places(state, held)
        val start = held.isNotEmpty() && goesBack(trained, atStart(state) { places(state, held) }, held.size)
        judged = state to start
        return start
    }

    /** What the model says of [candidates] as of [now], in their order. */
    fun score(state: DeviceState, candidates: List<String>, now: Long): List<Score> {
        val rows = rows(candidates)
        val given = { scored(asked(state, now), rows) }
        val answers = if (servesStart(state)) atStart(state, given) else given()
        return candidates.mapIndexed { index, token ->
            finite("score", answers.logits[index])
            Score(token, answers.logits[index], answers.probabilities[index], known = rows[index] != 0)
        }
    }

    /** Logits of each further target, by its name, with the trained weights. */
    fun targetLogits(state: DeviceState, candidates: List<String>, now: Long): Map<String, FloatArray> {
        val names = metadata.targets
        if (names.isEmpty()) {
            throw InputException("targetLogits: expected a model of a run with samples.targets, ${model.name} has none")
        }
        val found = scored(asked(state, now), rows(candidates)).targets
        found.forEach { row -> row.forEach { finite("score", it) } }
        return names.indices.associate { place -> names[place] to FloatArray(found.size) { found[it][place] } }
    }

    /** Inputs that are the same for every item. */
    fun userInputs(state: DeviceState): Map<String, Any> =
        buildMap {
            if (metadata.profile.isNotEmpty()) put("profile", state.profile)
            (state.downlink ?: Downlink.unknownUser(metadata.exchange)).addTo(this)
        }

    fun history(state: DeviceState): Map<String, Any> =
        mapOf("history" to padHistory(state.history, metadata.historyLength))

    private fun rows(candidates: List<String>) = IntArray(candidates.size) { model.itemRow(candidates[it]) }

    private fun asked(state: DeviceState, now: Long): Map<String, Any> {
        val reading =
            if (metadata.readsClock) {
                mapOf("clock" to clockReading(state.times, now, metadata.historyLength))
            } else {
                emptyMap()
            }
        return userInputs(state) + history(state) + reading
    }

    /** Where the held-back items rank with the weights that are loaded, all places added up. */
    private fun places(state: DeviceState, held: List<HeldBack>): Int =
        held.sumOf {
            val timed = if (metadata.readsClock) mapOf("clock" to it.clock) else emptyMap()
            guardPlace(scored(userInputs(state) + mapOf("history" to it.history) + timed, it.candidates).logits)
        }

    /** A history too short to hold back as many as wanted gave little to learn from: there a tie speaks for the start. */
    private fun goesBack(trained: Int, start: Int, held: Int): Boolean =
        if (held < metadata.trainingDefaults.guardPositions) trained >= start else trained > start

    /** Runs [block] with the starting weights; afterwards the interpreter has those of [state] again. */
    private fun <T> atStart(state: DeviceState, block: () -> T): T =
        weights.undoable(state::values) {
            weights.restore(state.start.copyInto(state.values.copyOf()))
            block().also { weights.restore(state.values) }
        }

    private class Answers(val logits: List<Float>, val probabilities: List<Float>, val targets: List<FloatArray>)

    /** Answers for [rows], in portions of a static file's size. */
    private fun scored(inputs: Map<String, Any>, rows: IntArray): Answers {
        val portion = metadata.signature("score").input("candidates")?.shape?.single() ?: rows.size
        val logits = ArrayList<Float>(rows.size)
        val probabilities = ArrayList<Float>(rows.size)
        val targets = ArrayList<FloatArray>()
        for (start in rows.indices step maxOf(portion, 1)) {
            val part = rows.copyOfRange(start, minOf(start + portion, rows.size)).copyOf(portion)
            val outputs = runner.run("score", inputs + ("candidates" to part), rows = portion)
            val used = minOf(portion, rows.size - start)
            logits += outputs.floats("logit").take(used)
            probabilities += outputs.floats("probability").take(used)
            if (metadata.targets.isNotEmpty()) targets += outputs.floatRows("target_logits").take(used)
        }
        return Answers(logits, probabilities, targets)
    }
}
