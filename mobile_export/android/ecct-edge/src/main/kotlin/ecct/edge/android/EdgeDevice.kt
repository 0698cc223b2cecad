package ecct.edge.android

import android.content.Context
import ecct.edge.CloudClient
import ecct.edge.Codec
import ecct.edge.DeviceState
import ecct.edge.Downlink
import ecct.edge.EdgeMetadata
import ecct.edge.EdgeRecommender
import ecct.edge.Manifest
import ecct.edge.Migration
import ecct.edge.ModelFile
import ecct.edge.ModelFileException
import ecct.edge.Outbox
import ecct.edge.RoundReport
import ecct.edge.Score
import ecct.edge.StateFile
import ecct.edge.TrainingOptions
import ecct.edge.TrainingReport
import ecct.edge.takePart
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.isActive
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext
import java.io.File
import java.io.IOException

/**
 * An [EdgeRecommender] for an app: its calls suspend instead of blocking, run in the background
 * and, under one lock, one after another.
 *
 * Keep one in the process for each user: of a worker and a screen that open the same state, the
 * later one to change it is refused. It throws what the [EdgeRecommender] throws.
 */
public class EdgeDevice internal constructor(
    private val device: EdgeRecommender,
    private val dispatcher: CoroutineDispatcher,
) {
    private val mutex = Mutex()

    /** What the model file says of itself. */
    public val metadata: EdgeMetadata get() = device.model.metadata

    /** The model file: tokens and rows. */
    public val model: ModelFile get() = device.model

    /** What the device keeps now. */
    public suspend fun state(): DeviceState = alone { device.state }

    /** Whether it ranks with the weights that it started with; see [EdgeRecommender.servesStart]. */
    public suspend fun servesStart(): Boolean = alone { device.servesStart }

    /** What became of the device where this opening took it over from another model; null elsewhere. */
    public val migration: Migration? get() = device.migration

    /** How many interactions wait for a model that knows the item, by its token. */
    public suspend fun unknownItems(): Map<String, Int> = alone { device.unknownItems }

    /**
     * Adds interactions, oldest first; how many of them the model knows.
     *
     * @param times seconds since 1970, UTC, when each was; null where that is unknown.
     * @param context what came of each, by column; see [EdgeRecommender.interact].
     */
    public suspend fun interact(
        items: List<String>,
        times: List<Long?>? = null,
        context: Map<String, List<String?>>? = null,
    ): Int = alone { device.interact(items, times, context) }

    /** Says how many of the oldest interactions the cloud has too. */
    public suspend fun setKnownToCloud(oldest: Int): Unit = alone { device.setKnownToCloud(oldest) }

    /** Replaces the private profile: values by column. */
    public suspend fun setProfile(profile: Map<String, String>): Unit = alone { device.setProfile(profile) }

    /** Takes what the cloud sent. */
    public suspend fun receive(downlink: Downlink): Unit = alone { device.receive(downlink) }

    /** Replaces the shared weights, `[P_shared] float32`, with a federated mean. */
    public suspend fun replaceSharedWeights(shared: FloatArray): Unit =
        alone { device.replaceSharedWeights(shared) }

    /** Scores candidates for the user as of [nowSeconds], by default as of now, in their order. */
    public suspend fun score(candidates: List<String>, nowSeconds: Long? = null): List<Score> =
        alone { device.score(candidates, nowSeconds) }

    /** Logits of each further target, by its name; see [EdgeRecommender.targetLogits]. */
    public suspend fun targetLogits(candidates: List<String>, nowSeconds: Long? = null): Map<String, FloatArray> =
        alone { device.targetLogits(candidates, nowSeconds) }

    /** The best items for the user; see [EdgeRecommender.recommend]. */
    public suspend fun recommend(
        k: Int = 10,
        candidates: List<String>? = null,
        withMet: Boolean = false,
        nowSeconds: Long? = null,
    ): List<Score> = alone { device.recommend(k, candidates, withMet, nowSeconds) }

    /** All that the device keeps of its user, as JSON. */
    public suspend fun exportPersonalData(): String = alone { device.exportPersonalData() }

    /**
     * Removes what the device keeps of its user, and closes it. A kill leaves the state for another call.
     *
     * @param outbox of its answers, which wait in a folder of their own; null where it has none.
     */
    public suspend fun forget(outbox: Outbox? = null): Unit =
        alone {
            outbox?.forget()
            device.forget()
        }

    /**
     * Trains on what the cloud does not know.
     *
     * When the coroutine is cancelled, training ends before its next step; what was done is kept.
     */
    public suspend fun train(options: TrainingOptions = TrainingOptions()): TrainingReport {
        val caller = currentCoroutineContext()
        return alone { device.train(options) { caller.isActive } }
    }

    /** The bytes that answer the last downlink. */
    public suspend fun uplink(): ByteArray = alone { device.uplink() }

    /** The same in the envelope that the cloud's log reads, made now. */
    public suspend fun uplinkRecord(): ByteArray =
        alone { device.uplinkRecord(System.currentTimeMillis() / MILLISECONDS) }

    /**
     * A whole round with the cloud; see [ecct.edge.takePart]. While it waits for the network, other calls
     * go on. When the coroutine is cancelled, training ends before its next step, and is answered.
     */
    public suspend fun takePart(
        client: CloudClient,
        outbox: Outbox,
        options: TrainingOptions = TrainingOptions(),
    ): RoundReport {
        val caller = currentCoroutineContext()
        // Without the mutex: the recommender itself lets its calls run one after another.
        return withContext(dispatcher) {
            takePart(device, client, outbox, options) { caller.isActive }
        }
    }

    /** Frees the interpreter when the call that runs now is done. */
    public suspend fun close(): Unit = alone { device.close() }

    private suspend fun <T> alone(block: () -> T): T =
        mutex.withLock { withContext(dispatcher) { block() } }

    public companion object {
        private const val MILLISECONDS = 1000L

        /**
         * Opens a device with a model of the app's assets.
         *
         * The state lies in the app's private storage, outside of backups: what a device learned
         * from its user must not leave it that way.
         *
         * @param folder in the assets, with the model and the `manifest.json` of `ecct export`.
         * @param name of the model file; null for the only one that the manifest lists.
         * @param user the id that the cloud knows the user by.
         * @param profile values of the private columns by name; null leaves the kept ones.
         * @param adopt whether a newer model takes over what the device of the one before keeps.
         * @param weightsAnew whether it then begins with the weights of the file.
         * @param codecs of the app, for a model whose run exchanges through one of them.
         */
        public suspend fun open(
            context: Context,
            user: Int,
            folder: String = "ecct",
            name: String? = null,
            profile: Map<String, String>? = null,
            adopt: Boolean = false,
            weightsAnew: Boolean = false,
            dispatcher: CoroutineDispatcher = Dispatchers.Default,
            codecs: List<Codec> = emptyList(),
        ): EdgeDevice =
            withContext(dispatcher) {
                val model = fromAssets(context, folder, name, codecs)
                val states = StateFile(File(context.noBackupFilesDir, "$folder/$user.state"))
                val device = EdgeRecommender.open(model, LiteRtInterpreter, states, user, profile, adopt, weightsAnew)
                EdgeDevice(device, dispatcher)
            }

        /**
         * Opens a device with a model that the app has stored, such as one that it has downloaded: a newer
         * item table then needs no new app. The manifest lies beside it, and its hash is checked first.
         *
         * Write a new pair into a folder of its own and open that with `adopt`: a file is never replaced
         * under a device that is open.
         *
         * @param file the model; `manifest.json` of `ecct export` lies beside it.
         * @param user the id that the cloud knows the user by.
         * @param profile values of the private columns by name; null leaves the kept ones.
         * @param adopt whether a newer model takes over what the device of the one before keeps.
         * @param weightsAnew whether it then begins with the weights of the file.
         * @param codecs of the app, for a model whose run exchanges through one of them.
         * @param folder of the states, as for [open]: a device keeps its state when its model moves from
         *   the assets into storage.
         */
        public suspend fun openFile(
            context: Context,
            file: File,
            user: Int,
            profile: Map<String, String>? = null,
            adopt: Boolean = false,
            weightsAnew: Boolean = false,
            folder: String = "ecct",
            dispatcher: CoroutineDispatcher = Dispatchers.Default,
            codecs: List<Codec> = emptyList(),
        ): EdgeDevice =
            withContext(dispatcher) {
                val states = StateFile(File(context.noBackupFilesDir, "$folder/$user.state"))
                val model = ModelFile.open(file, codecs)
                val device = EdgeRecommender.open(model, LiteRtInterpreter, states, user, profile, adopt, weightsAnew)
                EdgeDevice(device, dispatcher)
            }

        private fun fromAssets(context: Context, folder: String, name: String?, codecs: List<Codec>): ModelFile =
            try {
                val manifest = Manifest.parse(context.asset("$folder/${ModelFile.MANIFEST}").toString(Charsets.UTF_8))
                val chosen =
                    name ?: manifest.sha256.keys.singleOrNull() ?: throw ModelFileException(
                        "$folder: expected one file in the manifest, it lists ${manifest.sha256.keys}; " +
                            "name the one to open",
                    )
                ModelFile.parse(chosen, context.asset("$folder/$chosen"), manifest, codecs)
            } catch (error: IOException) {
                throw ModelFileException(
                    "assets/$folder: expected a model and ${ModelFile.MANIFEST}: ${error.message}; copy both " +
                        "from the folder of `ecct export`",
                    error,
                )
            }

        private fun Context.asset(path: String): ByteArray = assets.open(path).use { it.readBytes() }
    }
}
