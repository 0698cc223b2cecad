package ecct.edge

import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * Files that prove themselves, `ecct_tf.wire.sealed` in Python: a magic of four letters and a
 * format (uint16) first, the SHA-256 of all before it last.
 */
internal class Sealed(
    private val magic: String,
    private val format: Int,
    private val what: String,
) {
    /** [body] followed by its SHA-256. */
    fun seal(body: ByteArray): ByteArray = body + sha256(body)

    /**
     * The body of [content], behind magic and format.
     *
     * @throws SealException when it is damaged, or of another kind or format.
     */
    fun unseal(content: ByteArray): ByteBuffer {
        val length = content.size - DIGEST_BYTES
        if (length < PREFIX_BYTES || content.copyOf(magic.length).toString(Charsets.ISO_8859_1) != magic) {
            throw SealException(
                "$what: expected a file that begins with $magic, got ${content.size} bytes of something else",
            )
        }
        if (!sha256(content, length).contentEquals(content.copyOfRange(length, content.size))) {
            throw SealException(
                "$what: the checksum does not fit the ${content.size} bytes, they are truncated or altered",
            )
        }
        val body = ByteBuffer.wrap(content, 0, length).order(ByteOrder.LITTLE_ENDIAN)
        body.getInt()
        val found = body.getShort().toInt()
        if (found != format) {
            throw SealException(
                "$what: expected format $format, got $found, which another version of ECCT-TF wrote",
            )
        }
        return body
    }

    companion object {
        const val DIGEST_BYTES = 32
        private const val PREFIX_BYTES = 6
    }
}

/** A sealed file cannot be used. The caller says what to do. */
internal class SealException(message: String) : Exception(message)
