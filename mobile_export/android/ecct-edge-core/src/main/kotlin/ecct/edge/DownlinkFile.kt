package ecct.edge

import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * Downlinks as the cloud publishes them (`ecct_tf.wire.downlink` in Python), whose checksum and
 * lengths were checked.
 *
 * @property segments whether the keys are segments of users, for those the cloud does not know;
 *   otherwise they are users.
 * @property cloudVersion of the cloud that made it.
 * @property round to which the answers belong.
 * @property tableSha256 of the item table that the embeddings fit, in hexadecimal.
 */
public class DownlinkFile private constructor(
    public val segments: Boolean,
    public val cloudVersion: Int,
    public val round: Int,
    public val tableSha256: String,
    private val form: DownlinkForm,
    private val records: Map<Int, ByteArray>,
) {
    /** The users or segments that have a downlink. */
    public val keys: Set<Int> get() = records.keys

    /**
     * The downlink of a user or segment, or null when there is none: a new user takes one from
     * the segments file.
     *
     * @throws PayloadException when it is of another form than the [exchange] of the model.
     */
    public fun of(key: Int, exchange: Exchange): Downlink? {
        if (form.code != exchange.codec.code || form.cloudDim != exchange.cloudDim || form.queries != exchange.queries) {
            throw PayloadException(
                "downlinks: expected ${exchange.codec.name} with ${exchange.cloudDim} values and " +
                    "${exchange.queries} queries, got ${form.codecText} with ${form.cloudDim} and " +
                    "${form.queries}; cloud and model were built with different settings",
            )
        }
        val rowBytes = exchange.codec.checkedRowBytes(exchange.cloudDim)
        if (records.isNotEmpty() && form.rowBytes != rowBytes) {
            throw PayloadException(
                "downlinks: expected embeddings of $rowBytes bytes for codec ${exchange.codec.name}, got " +
                    "${form.rowBytes}; cloud and app have different versions of it",
            )
        }
        val user = key.takeIf { !segments }
        return records[key]?.let { Downlink.decode(it, exchange, cloudVersion, round, tableSha256, user) }
    }

    public companion object {
        private const val HEADER_BYTES = 64
        private const val MAX_VALUES = 1 shl 20
        private val SEALED = Sealed("ECDN", format = 1, what = "downlinks")

        /**
         * Reads a file.
         *
         * @throws PayloadException when it is damaged, or of another kind or format.
         */
        public fun parse(content: ByteArray): DownlinkFile {
            val body =
                try {
                    SEALED.unseal(content)
                } catch (error: SealException) {
                    throw PayloadException("${error.message}; fetch the file again")
                }
            if (body.limit() < HEADER_BYTES) {
                throw PayloadException(
                    "downlinks: expected a header of $HEADER_BYTES bytes, got ${body.limit()}; fetch the file again",
                )
            }
            return read(body)
        }

        private fun read(bytes: ByteBuffer): DownlinkFile {
            val codec = bytes.get().toInt() and 0xFF
            val kind = bytes.get().toInt() and 0xFF
            val isBuiltIn =
                isBuiltIn(codec) ?: throw PayloadException(
                    "downlinks: $EXPECTED_CODE, got $codec; a later version of ECCT-TF wrote the file",
                )
            if (kind > 1) {
                throw PayloadException(
                    "downlinks: expected a kind of keys in 0..1, got $kind; a later version of ECCT-TF wrote the file",
                )
            }
            val version = whole(bytes.getInt(), "cloud_version")
            val round = whole(bytes.getInt(), "round_number")
            val width = size(bytes.getInt(), "cloud_dim")
            val queries = size(bytes.getInt(), "number of queries")
            val count = bytes.getInt().toLong() and UNSIGNED
            val reserved = bytes.getInt().toLong() and UNSIGNED
            if (reserved != 0L) {
                throw PayloadException(
                    "downlinks: expected zeros where nothing is told yet, got $reserved; a later version of ECCT-TF " +
                        "wrote the file",
                )
            }
            val table = ByteArray(Sealed.DIGEST_BYTES).also { bytes.get(it) }
            // Counts and sizes that their checksum vouches for may still be lies: in 64 bits they do not wrap.
            val rowBytes =
                if (isBuiltIn) {
                    GraphCodec.ALL[codec].rowBytes(width)
                } else {
                    unreadBytes(bytes.limit() - HEADER_BYTES, count, queries)
                }
            val form = DownlinkForm(codec, width, queries, rowBytes)
            val expected = HEADER_BYTES + count * (Int.SIZE_BYTES + form.recordBytes)
            if (bytes.limit().toLong() != expected) {
                throw PayloadException(
                    "downlinks: expected $expected bytes before the digest for $count keys, got ${bytes.limit()}; " +
                        "$WAY_OUT",
                )
            }
            val keys = List(count.toInt()) { whole(bytes.getInt(), "key") }
            if (keys.zipWithNext().any { (one, next) -> one >= next }) {
                throw PayloadException(
                    "downlinks: expected one record for each of $count keys in ascending order, got $count records; " +
                        WAY_OUT,
                )
            }
            val records = keys.associateWith { ByteArray(form.recordBytes).also { record -> bytes.get(record) } }
            for ((key, record) in records) check(key, record, form)
            return DownlinkFile(kind == 1, version, round, table.toHex(), form, records)
        }

        /** Refuses the file where it has what no device can use, whoever's it is. */
        private fun check(key: Int, record: ByteArray, form: DownlinkForm) {
            val bytes = ByteBuffer.wrap(record).order(ByteOrder.LITTLE_ENDIAN)
            form.builtIn?.let { codec ->
                repeat(form.cloudDim) { finite(codec.read(bytes), "embedding", key) }
                if (codec == GraphCodec.Int8) {
                    val scale = finite(bytes.half(), "scale", key)
                    if (scale < 0) throw diverged("scale", key, "a number in 0..$LARGEST_HALF", scale)
                }
            }
            // What a codec of the app's wrote is read for the device that it is for.
            bytes.position(form.rowBytes)
            repeat(form.queries) { whole(bytes.getInt(), "query") }
        }

        /** Bytes of an embedding of a codec that the reader of a file need not know. */
        private fun unreadBytes(bodyBytes: Int, count: Long, queries: Int): Int {
            if (count == 0L) return 1
            val found = bodyBytes / count - Int.SIZE_BYTES - Int.SIZE_BYTES.toLong() * queries
            if (found !in 1..MAX_VALUES) {
                throw PayloadException("downlinks: expected bytes of an embedding in 1..$MAX_VALUES, got $found; $WAY_OUT")
            }
            return found.toInt()
        }

        private fun finite(value: Float, name: String, key: Int): Float =
            if (value.isFinite()) value else throw diverged(name, key, "finite numbers", value)

        private fun diverged(name: String, key: Int, expected: String, got: Float) =
            PayloadException(
                "downlinks: $name of key $key: expected $expected, got $got; the cloud that made them has diverged, " +
                    "publish a valid version",
            )

        private fun whole(value: Int, name: String): Int =
            if (value >= 0) {
                value
            } else {
                throw PayloadException("downlinks: expected a $name in 0..${Int.MAX_VALUE}, got $value; $WAY_OUT")
            }

        private fun size(value: Int, name: String): Int =
            if (value in 1..MAX_VALUES) {
                value
            } else {
                throw PayloadException(
                    "downlinks: expected a $name in 1..$MAX_VALUES, got ${value.toLong() and UNSIGNED}; the cloud is of " +
                        "another version",
                )
            }

        private const val WAY_OUT = "fetch the file again"
        private const val LARGEST_HALF = 65_504
        private const val UNSIGNED = 0xFFFFFFFFL
    }
}

/**
 * The form of the records of a file.
 *
 * @property code of the codec, in the header.
 * @property rowBytes of an embedding.
 */
internal class DownlinkForm(
    val code: Int,
    val cloudDim: Int,
    val queries: Int,
    val rowBytes: Int,
) {
    val recordBytes: Int get() = rowBytes + Int.SIZE_BYTES * queries

    /** The codec, where it is the library's. */
    val builtIn: GraphCodec? get() = GraphCodec.ALL.getOrNull(code)

    val codecText: String get() = builtIn?.name ?: "a custom codec of code $code"
}
