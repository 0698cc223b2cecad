package ecct.edge

import java.io.FilterInputStream
import java.io.IOException
import java.io.InputStream
import java.net.HttpURLConnection
import java.net.URL
import java.security.cert.CertificateException
import java.util.zip.GZIPInputStream
import javax.net.ssl.HttpsURLConnection
import javax.net.ssl.SSLException
import javax.net.ssl.SSLSocketFactory

/**
 * HTTP over what the JVM and Android bring, one connection for each request.
 *
 * Where a sink takes a whole body, the service may send it compressed; parts it sends as they are.
 *
 * @param address `https://host:port`; `http://` only for this very machine, or where [plain] is true.
 * @param timeoutMilliseconds for a connection, and for each block of an answer.
 * @param pins SHA-256, in hexadecimal, of certificates (DER) one of which the service must have, besides
 *   being trusted; null for any. It is compared before the token is sent.
 * @param sockets makes TLS connections, for an app that trusts certificates of its own; null for the system's.
 * @param plain whether tokens may cross a network in the clear.
 * @throws InputException when the address or a pin cannot be used.
 */
public class HttpTransport(
    address: String,
    private val timeoutMilliseconds: Int = 30_000,
    private val pins: Set<String>? = null,
    private val sockets: SSLSocketFactory? = null,
    plain: Boolean = false,
) : Transport {
    private val root = address.trimEnd('/')

    init {
        val match = ADDRESS.matchEntire(root)
        if (match == null) throw InputException("expected an address like https://host:port, got $address")
        val (scheme, host) = match.destructured
        if (scheme == "http" && host !in HERE && !plain) {
            throw InputException(
                "$address: expected https, since the token would cross the network in the clear; give plain = true " +
                    "where something else encrypts",
            )
        }
        if (pins != null && (scheme == "http" || !pins.all(PIN::matches))) {
            throw InputException("expected https and pins of 64 hexadecimal digits, got $address and $pins")
        }
    }

    override fun ask(request: Request, sink: Sink?): Answer {
        try {
            val connection = URL(root + request.path).openConnection() as HttpURLConnection
            try {
                prepare(connection, request, isWhole = sink != null && RANGE !in request.headers)
                connection.connect()
                checkPin(connection)
                if (request.body.isNotEmpty()) connection.outputStream.use { it.write(request.body) }
                return answer(connection, request, sink)
            } finally {
                connection.disconnect()
            }
        } catch (error: IOException) {
            throw told(request, error)
        }
    }

    private fun prepare(connection: HttpURLConnection, request: Request, isWhole: Boolean) {
        connection.requestMethod = request.method
        connection.connectTimeout = timeoutMilliseconds
        connection.readTimeout = timeoutMilliseconds
        connection.useCaches = false
        // A token goes to the service that is meant, and to no other that it may name.
        connection.instanceFollowRedirects = false
        // Parts of a file are of the file, not of a compressed one. Without this header Android asks for gzip and
        // decompresses unseen, the JVM does not.
        connection.setRequestProperty("Accept-Encoding", if (isWhole) GZIP else IDENTITY)
        connection.setRequestProperty("Connection", "close")
        request.headers.forEach(connection::setRequestProperty)
        if (request.body.isNotEmpty()) {
            connection.doOutput = true
            connection.setFixedLengthStreamingMode(request.body.size)
        }
        if (sockets != null && connection is HttpsURLConnection) connection.sslSocketFactory = sockets
    }

    private fun checkPin(connection: HttpURLConnection) {
        if (pins == null || connection !is HttpsURLConnection) return
        val found = sha256(connection.serverCertificates.first().encoded).toHex()
        if (found !in pins) {
            throw TransportException(
                "$root: its certificate has SHA-256 $found, which is none of those that are pinned; nothing was sent",
            )
        }
    }

    private fun answer(connection: HttpURLConnection, request: Request, sink: Sink?): Answer {
        val status = connection.responseCode
        val headers =
            connection.headerFields.filterKeys { it != null }
                .map { (name, values) -> name.lowercase() to values.first() }.toMap()
        val head = Answer(status, headers, ByteArray(0))
        val told = headers["content-length"]?.toLongOrNull()
        val stream = (if (status < ERRORS) connection.inputStream else connection.errorStream) ?: return head
        val body = java.io.ByteArrayOutputStream()
        val taking = if (sink != null && (status == OK || status == PARTIAL)) sink else null
        val sent = Counted(stream)
        sent.use {
            blocks(if (taking == null) sent else decompressed(sent, head, request)) { block, length ->
                if (taking != null) {
                    taking.take(head, block, length)
                } else {
                    body.write(block, 0, length)
                    if (body.size() > MOST_BYTES) {
                        throw TransportException("${request.path}: expected at most $MOST_BYTES bytes, got more")
                    }
                }
            }
        }
        // Not every implementation notices that a body ends early.
        if (told != null && sent.size != told && request.method != "HEAD" && status != NOT_MODIFIED) {
            throw IOException("${sent.size} bytes of $told")
        }
        return Answer(status, headers, body.toByteArray())
    }

    /** The file that [sent] holds; reading it fails where a compressed one ends early or is damaged. */
    private fun decompressed(sent: InputStream, head: Answer, request: Request): InputStream {
        val coding = head.headers["content-encoding"]?.trim()?.lowercase() ?: IDENTITY
        if (coding == IDENTITY) return sent
        // A part of a compressed file is no part of the file.
        if ((coding == GZIP || coding == "x-gzip") && head.status == OK) return GZIPInputStream(sent, BLOCK_BYTES)
        throw TransportException(
            "${request.path}: expected a whole file as it is or with gzip, or a part as it is; got $coding with status " +
                "${head.status}; what stands before the service must not alter its answers",
        )
    }

    /** Counts bytes as they arrived, before they are decompressed. */
    private class Counted(stream: InputStream) : FilterInputStream(stream) {
        var size = 0L

        override fun read(): Int = super.read().also { if (it >= 0) size++ }

        override fun read(block: ByteArray, offset: Int, length: Int): Int =
            super.read(block, offset, length).also { if (it > 0) size += it }
    }

    private fun told(request: Request, error: IOException): TransportException {
        val causes = generateSequence<Throwable>(error) { it.cause }
        if (error is SSLException && causes.any { it is CertificateException }) {
            return TransportException("$root: its certificate is not trusted; is it the service that is meant?", error)
        }
        return UnreachableException("${request.method} ${request.path}: $root gave no whole answer: $error", error)
    }

    private companion object {
        const val OK = 200
        const val PARTIAL = 206
        const val NOT_MODIFIED = 304
        const val ERRORS = 400
        const val BLOCK_BYTES = 1 shl 16
        const val RANGE = "Range"
        const val GZIP = "gzip"
        const val IDENTITY = "identity"

        // Of what is no file: errors, receipts, downlinks.
        const val MOST_BYTES = 16 shl 20
        val ADDRESS = Regex("(https?)://(\\[[0-9a-fA-F:]+]|[^/:?#@]+)(?::[0-9]+)?(?:/[^?#]*)?")
        val HERE = setOf("127.0.0.1", "[::1]", "localhost")
        val PIN = Regex("[0-9a-f]{64}")

        inline fun blocks(content: InputStream, take: (ByteArray, Int) -> Unit) {
            val block = ByteArray(BLOCK_BYTES)
            while (true) {
                val length = content.read(block)
                if (length < 0) return
                take(block, length)
            }
        }
    }
}
