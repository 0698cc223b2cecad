package ecct.edge

import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

/**
 * A device: a model file, its interpreter, and the state that it keeps.
 *
 * All calls block, and run one after another whatever the thread; on Android call them through
 * `EdgeDevice`, which suspends instead. Each call that changes the state has written its file
 * when it returns; one that throws has changed neither the weights nor the file.
 *
 * ```
 * val model = ModelFile.open(File(folder, "edge-mlp-trainable-int4.tflite"))
 * EdgeRecommender.open(model, LiteRtInterpreter, StateFile(kept), user = 17).use { device ->
 *     device.interact(listOf("tt0111161", "tt0068646"), times = listOf(earlier, now))
 *     val best = device.score(candidates).sortedByDescending { it.logit }
 *     device.train()
 *     send(device.uplinkRecord(createdAtSeconds = now))
 * }
 * ```
 */
public class EdgeRecommender private constructor(
    public val model: ModelFile,
    private val runner: SignatureRunner,
    private val states: StateFile,
    private val ownClock: () -> Long,
    private var current: DeviceState,
    private var onDisk: StateFile.Kept?,
) : AutoCloseable {
    private val lock = ReentrantLock()
    private var closed = false
    private val metadata = model.metadata
    private val loaded = LoadedWeights(runner)
    private val serving = Serving(model, runner, loaded)

    /** What the device keeps now. */
    public val state: DeviceState get() = locked { current }

    /**
     * Whether it ranks with the weights that it started with, since its own rank its newest positions,
     * which it never trained on, lower. It trains and answers with its own all the same.
     */
    public val servesStart: Boolean get() = locked { serving.servesStart(current) }

    /** What became of the device where this opening took it over from another model; null elsewhere. */
    public var migration: Migration? = null
        private set

    /** How many interactions wait for a model that knows the item, by its token. */
    public val unknownItems: Map<String, Int>
        get() = locked { current.labels?.waiting.orEmpty().groupingBy { it.token }.eachCount() }

    /**
     * Adds interactions, oldest first, and returns how many the model knows; the others wait in the
     * state, see [unknownItems], and take their place in the history once a model knows them.
     *
     * A model with a clock reads the times of the newest interactions. One that is unknown silences
     * it until the interaction is no more among them.
     *
     * @param times seconds since 1970, UTC, when each was; null where that is unknown.
     * @param context what came of each, for a model that trains by it (`contextColumns` of its metadata): by
     *   column a value for each interaction, null where that is unknown. It stays on the device.
     * @throws InputException when a time is negative, or over a day ahead of the device's clock, or the model
     *   has no such column.
     */
    public fun interact(
        items: List<String>,
        times: List<Long?>? = null,
        context: Map<String, List<String?>>? = null,
    ): Int =
        locked {
            val moments = interactionTimes(times, items.size, latestTime(ownClock()))
            val codes = contextCodes(context, items.size, current.columns)
            val (after, known) = current.withInteractions(model, items, moments, codes)
            if (after !== current) keep(after)
            known
        }

    /**
     * Says how many of the oldest interactions the cloud has too, for instance those from before
     * the app was installed. Devices train on the others, so that the cloud's knowledge meets
     * them as it will meet the future.
     */
    public fun setKnownToCloud(oldest: Int): Unit = locked { keep(current.withOlder(oldest)) }

    /** Replaces the private profile: values by column; unknown and missing ones count as unknown. */
    public fun setProfile(profile: Map<String, String>): Unit =
        locked { keep(withProfile(current, profile)) }

    /**
     * Takes what the cloud sent.
     *
     * @throws PayloadException when it was made for another user, is of another form than the model's, belongs to
     *   another item table than the model holds, or is older than the one that the device has.
     */
    public fun receive(downlink: Downlink): Unit =
        locked {
            check(downlink)
            keep(current.copy(downlink = downlink))
        }

    /**
     * Scores candidates for the user as of now, in their order.
     *
     * A static file takes them in portions of its own size, so that any number will do.
     *
     * @param nowSeconds of the request, since 1970, UTC, which a model with a clock reads; null
     *   asks the device's clock.
     * @throws InputException when it is negative, or over a day ahead of the device's clock.
     */
    public fun score(candidates: List<String>, nowSeconds: Long? = null): List<Score> =
        locked { serving.score(current, candidates, moment(nowSeconds, "score")) }

    /**
     * Logits of each further target, such as a like, by its name: of the [candidates], in their order.
     *
     * They are of the trained weights, even where the device ranks with those of its start, whose further
     * heads are untrained.
     *
     * @param nowSeconds of the request, as for [score].
     * @throws InputException when the model has no further targets (`targets` of its metadata), or as for [score].
     */
    public fun targetLogits(candidates: List<String>, nowSeconds: Long? = null): Map<String, FloatArray> =
        locked { serving.targetLogits(current, candidates, moment(nowSeconds, "targetLogits")) }

    /**
     * The best items for the user, best first; of equal ones the lower row.
     *
     * @param k how many at most.
     * @param candidates to choose from, those that the model does not know left out; null takes all
     *   of its items.
     * @param withMet whether items that the user has met may be among them.
     * @param nowSeconds of the request, as for [score].
     * @throws InputException when [k] is below 1, or as for [score].
     */
    public fun recommend(
        k: Int = 10,
        candidates: List<String>? = null,
        withMet: Boolean = false,
        nowSeconds: Long? = null,
    ): List<Score> =
        locked {
            if (k < 1) throw InputException("recommend: expected k of 1 or more, got $k; 10 is usual")
            val given = candidates?.map(model::itemRow)?.filter { it != 0 }?.distinct()?.sorted()
            val met = if (withMet) emptySet() else current.history.toSet()
            val rows = (given ?: (1 until metadata.itemRows).toList()).filter { it !in met }
            if (rows.isEmpty()) return@locked emptyList()
            score(rows.map { checkNotNull(model.itemToken(it)) }, nowSeconds).sortedByDescending { it.logit }.take(k)
        }

    /**
     * All that the device keeps of its user, as JSON: what a user may ask for.
     *
     * `interactions` has tokens, times in seconds since 1970 (null where unknown) and whether the cloud
     * has them too; `weights` and `start` are the user's as well, for they were trained on it.
     */
    public fun exportPersonalData(): String = locked { jsonText(personalData(current, model)) }

    /**
     * Removes the state from the disk, with history, profile, weights and downlink, and closes the device.
     *
     * Answers that wait lie in their own folder: [Outbox.forget]. What has left the device in answers is the
     * cloud's to forget (`ecct cloud erase`).
     *
     * @throws StateFileException when the file cannot be removed.
     */
    public fun forget() {
        locked { states.delete() }
        close()
    }

    /**
     * Trains on the interactions that the cloud does not know, and counts a round. Where there are
     * none, nothing changes, no round is counted, and the report is one of zeros.
     *
     * @param keepGoing asked before each step; false ends the call early, what was done is kept.
     * @throws InputException when the history covers every item, or the file does not train.
     */
    public fun train(options: TrainingOptions = TrainingOptions(), keepGoing: () -> Boolean = { true }): TrainingReport =
        locked { trained(current, options, keepGoing) }

    /**
     * [receive] and [train] at once: a kill, or a call that throws, leaves the device before both or after.
     *
     * @throws PayloadException as [receive].
     * @throws InputException as [train].
     */
    public fun takePart(
        downlink: Downlink,
        options: TrainingOptions = TrainingOptions(),
        keepGoing: () -> Boolean = { true },
    ): TrainingReport =
        locked {
            check(downlink)
            trained(current.copy(downlink = downlink), options, keepGoing)
        }

    /**
     * The bytes that answer the last downlink: user, items, embeddings and logits as encoded.
     *
     * @param noise draws the noise, if the exchange has any: standard normal, never the same twice.
     * @throws InputException when no downlink asked for anything.
     */
    public fun uplink(noise: java.util.Random = java.security.SecureRandom()): ByteArray =
        locked {
            val queries = current.downlink?.queries ?: IntArray(0)
            if (queries.isEmpty()) {
                throw InputException("uplink: expected a downlink with queries, got none; call receive first")
            }
            val inputs = serving.userInputs(current) + serving.history(current) + mapOf("queries" to queries)
            val width = metadata.exchange.embeddingDim + 1
            val drawn =
                if (metadata.signature("uplink").input("noise") == null) {
                    emptyMap()
                } else {
                    mapOf("noise" to Array(queries.size) { FloatArray(width) { noise.nextGaussian().toFloat() } })
                }
            encodeUplink(current.user, runner.run("uplink", inputs + drawn), metadata.exchange)
        }

    /**
     * [uplink] in the envelope that the cloud's log reads, with the round and the version of the
     * downlink that it answers.
     *
     * @param createdAtSeconds the time, in whole seconds since 1970, UTC.
     */
    public fun uplinkRecord(createdAtSeconds: Long): ByteArray =
        locked {
            val payload = uplink()
            val asked = checkNotNull(current.downlink) { "uplink() refuses a device without a downlink" }
            encodeUplinkRecord(payload, metadata.exchange, asked.round, asked.cloudVersion, createdAtSeconds)
        }

    /** `[P] float32`, the trained weights; the shared ones are at the front. */
    public fun weights(): FloatArray = locked { runner.read("get_weights").floats("weights") }

    /**
     * Replaces the shared weights with a federated mean; the private ones stay.
     *
     * @param shared `[P_shared] float32`.
     * @throws RefusedException when a value is not finite or implausible.
     */
    public fun replaceSharedWeights(shared: FloatArray): Unit =
        locked {
            if (shared.size != metadata.sharedWeights) {
                throw InputException(
                    "shared weights: expected ${metadata.sharedWeights} values, got ${shared.size}; do " +
                        "they belong to this model?",
                )
            }
            undoable {
                loaded.set(shared.copyInto(weights()))
                keep(current.copy(values = loaded.values(), start = current.startOnceChanged(metadata)))
            }
        }

    /** Frees the interpreter; further calls throw [ClosedException]. */
    override fun close(): Unit =
        lock.withLock {
            if (!closed) runner.close()
            closed = true
        }

    private fun <T> locked(block: () -> T): T =
        lock.withLock {
            if (closed) throw ClosedException()
            block()
        }

    private fun check(downlink: Downlink) {
        downlink.checkFor(current.user)
        downlink.check(model)
        current.downlink?.let(downlink::checkNotOlder)
    }

    /** Trains on [begun], which is [current] or the same with another downlink, and keeps what comes of it. */
    private fun trained(begun: DeviceState, options: TrainingOptions, keepGoing: () -> Boolean): TrainingReport {
        val loop = TrainingLoop(runner, metadata, options)
        val samples = drawSamples(begun, metadata, options, options.seed ?: roundSeed())
        if (samples.size == 0) {
            if (begun !== current) keep(begun)
            return TrainingReport(0, 0, 0, firstLoss = 0f, lastLoss = 0f, completed = true)
        }
        return undoable {
            val report = loop.run(samples, serving.userInputs(begun), keepGoing)
            val start = begun.startOnceChanged(metadata)
            keep(begun.copy(values = loaded.values(), round = begun.round + 1, start = start))
            report
        }
    }

    /** Runs [block]; when it throws, the interpreter has the weights of the kept state again. */
    private fun <T> undoable(block: () -> T): T = loaded.undoable({ current.values }, block)

    private fun moment(nowSeconds: Long?, what: String): Long {
        val own = ownClock()
        return nowSeconds?.let { possible(it, "$what: now", latestTime(own)) } ?: own
    }

    private fun withProfile(state: DeviceState, profile: Map<String, String>): DeviceState {
        val labels = checkNotNull(state.labelled(model).labels)
        val texts = model.profileTexts(profile)
        return state.copy(profile = model.profileRows(profile), labels = labels.copy(texts = texts))
    }

    private fun keep(changed: DeviceState) {
        val told = changed.labelled(model)
        onDisk = states.write(told, replaced = onDisk)
        current = told
    }

    private fun roundSeed(): Long = SplitMix64(current.user.toLong() shl 32 or current.round.toLong()).next()

    public companion object {
        private const val MILLISECONDS = 1000L

        /**
         * Opens a device: where [states] has none, a new one with the weights of the file.
         *
         * @param interpreters makes the interpreter, after the hash was checked.
         * @param user the id that the cloud knows the user by.
         * @param profile replaces the kept profile, if given.
         * @param adopt whether to take over a state of another model: what is sound stays, by tokens,
         *   not by rows, and the optimiser starts anew; [migration] tells what became of it, and
         *   `docs/migration.md` has the table.
         * @param weightsAnew whether a state that is taken over begins with the weights of the file,
         *   and keeps history and profile alone.
         * @param previous the model of the state, for one that an earlier release wrote.
         * @param clock the device's own, seconds since 1970.
         * @throws StateFileException when the state is damaged, of another model or user, or something
         *   in it cannot be carried over: with the reason and the way out.
         * @throws InputException when the user is negative, or the profile has a column that is none.
         * @throws ModelFileException when the graph is not what the metadata says.
         */
        public fun open(
            model: ModelFile,
            interpreters: EdgeInterpreterFactory,
            states: StateFile,
            user: Int,
            profile: Map<String, String>? = null,
            adopt: Boolean = false,
            weightsAnew: Boolean = false,
            previous: ModelFile? = null,
            clock: () -> Long = { System.currentTimeMillis() / MILLISECONDS },
        ): EdgeRecommender {
            if (user < 0) throw InputException("user: expected an id from 0, as payloads name users, got $user")
            val onDisk = states.read()
            val kept = onDisk?.state
            profile?.let(model::profileRows) // refused before anything is loaded
            val interpreter = interpreters.create(model.buffer())
            try {
                val runner = SignatureRunner(interpreter, model.metadata)
                val begun = begin(model, runner, user)
                val adopted =
                    kept?.takeIf { adopt && it.model != model.sha256 }?.let {
                        Adoption(it, model, begun.values, profile, weightsAnew, previous).run()
                    }
                val found = adopted?.first ?: kept ?: begun
                found.checkFits(model, user, states.file.path)
                val device = EdgeRecommender(model, runner, states, clock, found, onDisk)
                device.migration = adopted?.second
                val state = if (profile == null) found else device.withProfile(found, profile)
                device.current = state
                if (kept != null && model.metadata.trainable) device.loaded.restore(state.values)
                if (kept !== state) device.keep(state)
                return device
            } catch (error: Throwable) {
                interpreter.close()
                throw error
            }
        }

        private fun begin(model: ModelFile, runner: SignatureRunner, user: Int): DeviceState =
            DeviceState(
                model = model.sha256,
                layout = model.metadata.layout,
                user = user,
                profile = model.profileRows(emptyMap()),
                history = IntArray(0),
                times = LongArray(0),
                olderItems = 0,
                values = if (model.metadata.trainable) runner.read("save").floats("state") else FloatArray(0),
                downlink = null,
                round = 0,
                columns = model.metadata.outcomes.columns,
            )
    }
}
