package ecct.edge

import java.security.MessageDigest

/** SHA-256 of the first [length] bytes of [content]: 32 bytes. */
internal fun sha256(content: ByteArray, length: Int = content.size): ByteArray =
    MessageDigest.getInstance("SHA-256").run {
        update(content, 0, length)
        digest()
    }

internal fun ByteArray.toHex(): String = joinToString("") { "%02x".format(it) }
