package ecct.edge

/**
 * `manifest.json`, which `ecct export` writes beside its files.
 *
 * @property sha256 the SHA-256 of each file by its name, in hexadecimal.
 * @property bytes the length of each file by its name, where the manifest has it.
 */
public class Manifest(
    public val sha256: Map<String, String>,
    public val bytes: Map<String, Int> = emptyMap(),
) {
    /**
     * Refuses [content] unless it has the hash that the manifest has for [name].
     *
     * To be called before loading: a runtime may crash on a damaged file.
     *
     * @throws ModelFileException when the manifest does not list the file, or it differs.
     */
    public fun check(name: String, content: ByteArray) {
        val expected =
            sha256[name] ?: throw ModelFileException(
                "manifest: expected an entry for $name, it has ${sha256.keys.sorted()}; keep the " +
                    "manifest of `ecct export` beside its files",
            )
        val received = sha256(content).toHex()
        if (received != expected) {
            throw ModelFileException(
                "$name: expected SHA-256 $expected, its ${content.size} bytes have $received; the " +
                    "file was damaged or altered, fetch or export it again",
            )
        }
    }

    public companion object {
        /**
         * Reads a manifest.
         *
         * @throws ModelFileException when it is none.
         */
        public fun parse(text: String): Manifest =
            try {
                val files = JsonObject.parse(text, "manifest.json").child("files")
                val entries = files.names.associateWith(files::child)
                Manifest(
                    sha256 = entries.mapValues { (_, entry) -> entry.text("sha256") },
                    bytes = entries.filterValues { it.has("bytes") }.mapValues { (_, entry) -> entry.count("bytes") },
                )
            } catch (error: JsonException) {
                throw ModelFileException(
                    "manifest.json: expected the manifest of `ecct export`: ${error.message}",
                    error,
                )
            }
    }
}
