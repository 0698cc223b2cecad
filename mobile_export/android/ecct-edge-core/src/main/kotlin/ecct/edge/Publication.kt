package ecct.edge

/**
 * What the cloud publishes now: the part of `current.json` (`ecct_tf.wire.publication` in Python) that a
 * device reads.
 *
 * @property cloudVersion that is published.
 * @property round whose queries it asks; answers belong to it.
 * @property tableSha256 of the item table, in hexadecimal; the model file must hold it.
 * @property segments the downlinks of segments, for users that the cloud does not know.
 * @property segmentNames `all` first, for a user of whom nothing is known.
 */
public class Publication private constructor(
    public val cloudVersion: Int,
    public val round: Int,
    public val tableSha256: String,
    public val segments: PublishedFile,
    public val segmentNames: List<String>,
) {
    public companion object {
        private const val FORMAT = 1

        /**
         * Reads `current.json`.
         *
         * @throws PayloadException when it is none, or of another format.
         */
        public fun parse(text: String): Publication = parse(text.toByteArray(Charsets.UTF_8))

        internal fun parse(content: ByteArray): Publication =
            try {
                val found = JsonObject.parse(utf8(content), "current.json")
                if (found.count("format") != FORMAT) {
                    throw JsonException(
                        "format: expected $FORMAT, got ${found.count("format")}, which another version wrote",
                    )
                }
                Publication(
                    cloudVersion = found.count("cloud_version"),
                    round = found.count("round_number"),
                    tableSha256 = published(found.child("item_table")).sha256,
                    segments = published(found.child("segments")),
                    segmentNames = found.list("segment_names").map(FileMeaning::word),
                )
            } catch (error: JsonException) {
                throw PayloadException(
                    "publication: expected the content of current.json: ${error.message}; publish again",
                )
            }

        private fun published(file: JsonObject): PublishedFile =
            PublishedFile(file.text("path"), file.count("num_bytes"), file.text("sha256")).also {
                if (!NAME.matches(it.path) || !DIGEST.matches(it.sha256)) {
                    throw JsonException("expected a plain name and a SHA-256, got ${it.path} and ${it.sha256}")
                }
            }

        // No folder: the name becomes a file of the cache.
        private val NAME = Regex("[A-Za-z0-9][A-Za-z0-9_.+-]{0,200}")
        private val DIGEST = Regex("[0-9a-f]{64}")
    }
}

/**
 * A file that the cloud publishes.
 *
 * @property path its name.
 * @property numBytes its length.
 * @property sha256 with which it ends, in hexadecimal: that of all before it.
 */
public class PublishedFile(
    public val path: String,
    public val numBytes: Int,
    public val sha256: String,
)
