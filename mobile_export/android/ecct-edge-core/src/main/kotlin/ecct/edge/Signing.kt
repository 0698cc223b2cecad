package ecct.edge

import java.security.GeneralSecurityException
import java.security.KeyFactory
import java.security.Signature
import java.security.spec.X509EncodedKeySpec

/**
 * Whether the owner of a key signed a content: Ed25519.
 *
 * [PlatformEd25519] asks the platform. Android has Ed25519 only in newer releases, and some devices answer for it with a
 * provider that cannot read a public key; an app for older ones gives an object over a library, such as Bouncy Castle's
 * `Ed25519Signer` or Tink's `Ed25519Verify`.
 */
public fun interface Ed25519 {
    /**
     * @param key of 32 bytes.
     * @param signature of 64 bytes.
     * @param content that was signed, or was not.
     */
    public fun fits(key: ByteArray, signature: ByteArray, content: ByteArray): Boolean
}

/** By `java.security`: Java since 15, Android where its provider has it. */
public object PlatformEd25519 : Ed25519 {
    // Of an X.509 key of this kind (RFC 8410), before its 32 bytes.
    private val HEAD = byteArrayOf(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00)

    /** @throws SignatureException when the platform cannot. */
    override fun fits(key: ByteArray, signature: ByteArray, content: ByteArray): Boolean =
        try {
            val public = KeyFactory.getInstance("Ed25519").generatePublic(X509EncodedKeySpec(HEAD + key))
            Signature.getInstance("Ed25519").run {
                initVerify(public)
                update(content)
                try {
                    verify(signature)
                } catch (error: java.security.SignatureException) {
                    false
                }
            }
        } catch (error: GeneralSecurityException) {
            throw unsupported(error)
        } catch (error: UnsupportedOperationException) {
            throw unsupported(error)
        }

    private fun unsupported(error: Exception) =
        SignatureException(
            "signatures: expected a platform that has Ed25519: $error; give CloudClient an Ed25519 of a library",
            error,
        )
}

/**
 * A key that publications may be signed with; it may be known to everybody.
 *
 * @param content 32 bytes.
 */
public class PublicKey(internal val content: ByteArray) {
    /** By which a signature names it. */
    public val fingerprint: String = sha256(content).toHex().take(SHOWN)

    public companion object {
        private const val SHOWN = 16
        private val LINE = Regex("ecct-ed25519 ([0-9a-f]{64})")

        /**
         * Reads the line that `ecct cloud keys new` writes.
         *
         * @throws SignatureException when it is none.
         */
        public fun parse(text: String): PublicKey {
            val found =
                LINE.matchEntire(text.trim()) ?: throw SignatureException(
                    "public key: expected a line of `ecct-ed25519` and 64 hexadecimal digits, got `${text.take(40)}`",
                )
            return PublicKey(bytesOf(found.groupValues[1]))
        }
    }
}

/** Signatures of publications, as `ecct_tf.wire.signing` in Python makes them. */
internal class SignatureCheck(private val keys: List<PublicKey>, private val ed25519: Ed25519) {
    /**
     * When the publication [content] was signed, by one of the keys.
     *
     * @param now seconds since 1970.
     * @param newest when the newest one that was accepted was signed; 0 for none.
     * @throws SignatureException when it is not signed, by another key, was changed afterwards, has expired, or is older
     * than one that was accepted.
     */
    fun issued(content: ByteArray, now: Long, newest: Long): Long {
        val known = keys.joinToString { it.fingerprint }
        val text = String(content, Charsets.UTF_8)
        val found =
            TAIL.find(text)?.groupValues ?: throw SignatureException(
                "publication: expected a signature by $known, it has none, or it is damaged",
            )
        val (name, first, last, signature) = found.drop(1)
        val key =
            keys.find { it.fingerprint == name } ?: throw SignatureException(
                "publication: expected a signature by $known, it is by the key $name; somebody else published it, or the " +
                    "key was changed and this app does not know it yet",
            )
        // All behind the signed part is ASCII: as many bytes as characters.
        val signed = PREFIX.toByteArray() + content.copyOf(content.size - AFTER)
        if (!ed25519.fits(key.content, bytesOf(signature), signed)) {
            throw SignatureException(
                "publication: its signature by $name does not fit its content; it was changed after it was signed",
            )
        }
        val (issued, expires) = first.toLong() to last.toLong()
        if (now >= expires) {
            throw SignatureException(
                "publication: its signature by $name expired ${now - expires} seconds ago; is the clock of this device " +
                    "right? The cloud publishes again otherwise",
            )
        }
        if (issued < newest) {
            throw SignatureException(
                "publication: it was signed ${newest - issued} seconds before one that was accepted; somebody gives an " +
                    "older one again, or an old folder was put back",
            )
        }
        return issued
    }

    private companion object {
        const val PREFIX = "ECCT publication 2\n"
        const val TIME = "(0|[1-9][0-9]{0,11})"
        const val SIGNATURE_DIGITS = 128
        const val AFTER = ", \"ed25519\": \"".length + SIGNATURE_DIGITS + "\"}\n}\n".length
        val TAIL =
            Regex(
                ",\n  \"signature\": \\{\"key\": \"([0-9a-f]{16})\", \"issued_at\": $TIME, \"expires_at\": $TIME, " +
                    "\"ed25519\": \"([0-9a-f]{$SIGNATURE_DIGITS})\"\\}\n\\}\n\\z",
            )
    }
}

private fun bytesOf(hex: String) = hex.chunked(2).map { it.toInt(16).toByte() }.toByteArray()
