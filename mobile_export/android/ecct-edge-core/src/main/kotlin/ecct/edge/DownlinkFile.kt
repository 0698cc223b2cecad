package ecct.edge

import java.nio.ByteBuffer

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
    private val form: Exchange,
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
        if (form.codec != exchange.codec || form.cloudDim != exchange.cloudDim || form.queries != exchange.queries) {
            throw PayloadException(
                "downlinks: expected ${exchange.codec} with ${exchange.cloudDim} values and " +
                    "${exchange.queries} queries, got ${form.codec} with ${form.cloudDim} and " +
                    "${form.queries}; cloud and model were built with different settings",
            )
        }
        return records[key]?.let { Downlink.decode(it, exchange, cloudVersion, round, tableSha256) }
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
            val codec = bytes.get().toInt()
            val kind = bytes.get().toInt()
            val version = bytes.getInt()
            val round = bytes.getInt()
            val (width, queries, count) = List(3) { bytes.getInt() }
            val sized = width in 1..MAX_VALUES && queries in 1..MAX_VALUES && count >= 0
            if (codec !in Codec.entries.indices || kind !in 0..1 || !sized || version < 0 || round < 0) {
                throw PayloadException(
                    "downlinks: expected a known codec and kind, sizes in 1..$MAX_VALUES, a version and a round " +
                        "from 0, got $codec, $kind, $width, $queries, $count, $version and $round; the cloud is " +
                        "of another version",
                )
            }
            bytes.getInt()
            val table = ByteArray(Sealed.DIGEST_BYTES).also { bytes.get(it) }
            val form = Exchange(width, 1, queries, Codec.entries[codec], withLogits = false, noiseMultiplier = 0.0)
            val expected = count.toLong() * (Int.SIZE_BYTES + form.downlinkBytes)
            if (bytes.remaining().toLong() != expected) {
                throw PayloadException(
                    "downlinks: expected $expected bytes for $count keys, got ${bytes.remaining()}; fetch the " +
                        "file again",
                )
            }
            val keys = List(count) { bytes.getInt() }
            if (keys.any { it < 0 } || keys.zipWithNext().any { (one, next) -> one >= next }) {
                throw PayloadException("downlinks: expected keys from 0 in ascending order; fetch the file again")
            }
            val records = keys.associateWith { ByteArray(form.downlinkBytes).also { record -> bytes.get(record) } }
            return DownlinkFile(kind == 1, version, round, table.toHex(), form, records)
        }
    }
}
