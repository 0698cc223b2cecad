package ecct.edge

import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * What the cloud sent one user, as the graph of a file takes it: of an app's own codec the numbers.
 *
 * @property scale of an int8 embedding, a float16 number; otherwise 1.
 * @property cloudVersion of the cloud that made it; the answer tells it.
 * @property round to which the answer belongs.
 * @property tableSha256 of the item table that the embedding fits, in hexadecimal; empty when untold.
 * @property user whom the cloud made it for, as a published file says; null where it says none: a segment's, and
 *   one from bytes alone. A state does not keep it: whose the device is, it says.
 */
public class Downlink internal constructor(
    internal val codec: GraphCodec,
    // `[d_c]` values of `codec`, little-endian.
    internal val embedding: ByteArray,
    public val scale: Float,
    private val queryRows: IntArray,
    public val cloudVersion: Int,
    public val round: Int,
    public val tableSha256: String = "",
    public val user: Int? = null,
) {
    init {
        if (scale !in 0f..LARGEST_HALF || !finite()) {
            throw PayloadException(
                "downlink: expected finite numbers and a scale in 0..$LARGEST_HALF, got a scale of $scale" +
                    (if (finite()) "" else " and values that are not finite") + "; fetch it again",
            )
        }
        val wrong = (queryRows.toList() + cloudVersion + round + (user ?: 0)).firstOrNull { it < 0 }
        if (wrong != null || !TABLE.matches(tableSha256)) {
            throw PayloadException(
                "downlink: expected queries, a version, a round and a user from 0 and a SHA-256 or none, got " +
                    "${wrong ?: tableSha256}; fetch it again",
            )
        }
    }

    /** `[Q] int32`, the items that the cloud asks about; empty when it asks nothing. */
    public val queries: IntArray get() = queryRows.copyOf()

    /**
     * Whether the cloud made it before [other]: by the round, then by the version. One of which no
     * version is known is neither older nor newer.
     */
    internal fun isOlderThan(other: Downlink): Boolean =
        cloudVersion > 0 && other.cloudVersion > 0 &&
            (round < other.round || (round == other.round && cloudVersion < other.cloudVersion))

    /** Refuses this downlink where the cloud made it before [newest], which the device has. */
    internal fun checkNotOlder(newest: Downlink) {
        if (isOlderThan(newest)) {
            throw PayloadException(
                "downlink: expected one of round ${newest.round} and version ${newest.cloudVersion}, which the " +
                    "device has, or newer, got round $round and version $cloudVersion; fetch what the cloud " +
                    "publishes now",
            )
        }
    }

    /** Refuses this downlink where the cloud made it for another than [owner], whose device takes it. */
    internal fun checkFor(owner: Int) {
        if (user != null && user != owner) {
            throw PayloadException(
                "downlink: expected one of user $owner, whose device this is, got one of user $user; fetch it with the " +
                    "token of user $owner, and if that was done, report it to the operator of the service",
            )
        }
    }

    /** Adds what the signatures read of a downlink to [inputs]. */
    internal fun addTo(inputs: MutableMap<String, Any>) {
        inputs["user_embedding"] = if (codec == GraphCodec.Int8) embedding.copyOf() else floats()
        if (codec == GraphCodec.Int8) inputs["user_embedding_scale"] = floatArrayOf(scale)
    }

    private fun floats(): FloatArray {
        val bytes = ByteBuffer.wrap(embedding).order(ByteOrder.LITTLE_ENDIAN)
        return FloatArray(embedding.size / codec.valueBytes) {
            codec.read(bytes)
        }
    }

    private fun finite() = codec == GraphCodec.Int8 || floats().all { it.isFinite() }

    /** Whether the embedding fits the item table that [model] holds. */
    internal fun fits(model: ModelFile): Boolean =
        tableSha256.isEmpty() || tableSha256 == model.metadata.tableSha256

    /** Refuses a downlink that [model] cannot read, or that belongs to another item table. */
    internal fun check(model: ModelFile) {
        check(model.metadata.exchange)
        if (!fits(model)) {
            throw PayloadException(
                "downlink: expected one of item table ${model.metadata.tableSha256}, which ${model.name} holds, " +
                    "got one of $tableSha256; fetch the model file that was exported with the new table, and " +
                    "let it adopt the device",
            )
        }
    }

    /** Whether it has the form of [exchange]. */
    internal fun isOf(exchange: Exchange): Boolean =
        codec == exchange.graph && embedding.size == exchange.graph.valueBytes * exchange.cloudDim &&
            (queryRows.isEmpty() || queryRows.size == exchange.queries)

    /** Refuses a downlink of another form than that of [exchange]. */
    internal fun check(exchange: Exchange) {
        if (!isOf(exchange)) {
            throw PayloadException(
                "downlink: expected ${exchange.cloudDim} values of ${exchange.graph} and " +
                    "${exchange.queries} queries or none, got ${embedding.size / codec.valueBytes} of " +
                    "$codec and ${queryRows.size}; does it belong to this model?",
            )
        }
    }

    public companion object {
        private const val LARGEST_HALF = 65504f
        private val TABLE = Regex("([0-9a-f]{64})?")

        /**
         * Reads one user's downlink. Little-endian: the user embedding as its codec writes it,
         * for int8 its scale (float16), then the queries (int32).
         *
         * Published files of many downlinks are read by [DownlinkFile], and say which is whose.
         *
         * @param user whom the bytes are for, where the app knows it: the device of another refuses them.
         * @throws PayloadException when the length is not that of [exchange], or a number is none.
         */
        public fun decode(
            content: ByteArray,
            exchange: Exchange,
            cloudVersion: Int = 0,
            round: Int = 0,
            tableSha256: String = "",
            user: Int? = null,
        ): Downlink {
            if (content.size != exchange.downlinkBytes) {
                throw PayloadException(
                    "downlink: expected ${exchange.downlinkBytes} bytes for ${exchange.codec.name}, " +
                        "${exchange.cloudDim} values and ${exchange.queries} queries, got " +
                        "${content.size}; does it belong to this model?",
                )
            }
            val bytes = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN)
            val row = ByteArray(exchange.codec.checkedRowBytes(exchange.cloudDim)).also { bytes.get(it) }
            val queries = IntArray(exchange.queries) { bytes.getInt() }
            // A codec of the app's is undone here, so that the state keeps numbers as in Python.
            val given =
                if (exchange.codec is GraphCodec) row else exchange.graph.encode(exchange.codec.decodeRow(row, exchange.cloudDim))
            val embedding = given.copyOf(exchange.graph.valueBytes * exchange.cloudDim)
            val scale =
                if (exchange.graph != GraphCodec.Int8) {
                    1f
                } else {
                    ByteBuffer.wrap(row, exchange.cloudDim, 2).order(ByteOrder.LITTLE_ENDIAN).half()
                }
            return Downlink(exchange.graph, embedding, scale, queries, cloudVersion, round, tableSha256, user)
        }

        /**
         * For a user that the cloud knows nothing of: an embedding of zeros.
         *
         * @param queries `[Q] int32`, items to ask about; empty for none.
         * @throws PayloadException when their number is not that of [exchange].
         */
        public fun unknownUser(exchange: Exchange, queries: IntArray = IntArray(0)): Downlink {
            val embedding = ByteArray(exchange.graph.valueBytes * exchange.cloudDim)
            val downlink = Downlink(exchange.graph, embedding, 1f, queries.copyOf(), cloudVersion = 0, round = 0)
            return downlink.also { it.check(exchange) }
        }
    }
}
