package ecct.edge

import java.io.ByteArrayOutputStream
import java.io.Closeable
import java.io.File
import java.io.IOException
import java.net.InetAddress
import java.net.ServerSocket
import java.net.Socket
import java.util.zip.GZIPOutputStream
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

/** Downloads that come compressed: the same content in fewer bytes, whole or refused. */
class CompressedDownloadTest {
    /** A service that sends one raw answer after another, and breaks the connection behind each. */
    private class Wire : Closeable {
        val asked = ArrayList<Map<String, String>>()
        private val answers = ArrayDeque<ByteArray>()
        private val listening = ServerSocket(0, 5, InetAddress.getByName("127.0.0.1"))
        val address = "http://127.0.0.1:${listening.localPort}"

        init {
            thread(isDaemon = true) {
                try {
                    while (true) listening.accept().use(::serve)
                } catch (closed: IOException) {
                    return@thread
                }
            }
        }

        private fun serve(connection: Socket) {
            val lines = connection.getInputStream().bufferedReader().lineSequence().takeWhile { it.isNotEmpty() }
            asked += lines.drop(1).associate { it.substringBefore(": ").lowercase() to it.substringAfter(": ") }
            connection.getOutputStream().write(answers.removeFirst())
        }

        fun answer(body: ByteArray, coding: String? = null, status: Int = 200, length: Int = body.size) {
            val named = if (coding == null) "" else "Content-Encoding: $coding\r\n"
            answers += "HTTP/1.1 $status As It Is\r\nContent-Length: $length\r\n$named\r\n".toByteArray() + body
        }

        /** What each request accepted, and which part it asked for. */
        val parts get() = asked.map { it["accept-encoding"] to it["range"] }

        override fun close() = listening.close()
    }

    private val table = ByteArray(300_000) { (it * it / 7 % 23).toByte() }.let { it + sha256(it) }
    private val digest = table.copyOfRange(table.size - 32, table.size).toHex()
    private val file = PublishedFile("items-${digest.take(16)}.ecit", table.size, digest)
    private val zipped = zipped(table)

    private fun zipped(content: ByteArray): ByteArray =
        ByteArrayOutputStream().also { out -> GZIPOutputStream(out).use { it.write(content) } }.toByteArray()

    private fun wired(block: (Wire, File, (Int) -> CloudClient) -> Unit) =
        inFolder { cache ->
            Wire().use { wire ->
                block(wire, cache) { attempts ->
                    CloudClient(HttpTransport(wire.address), "t", cache, Retries(attempts = attempts, sleep = {}))
                }
            }
        }

    private fun draft(cache: File) = File(cache, ".${file.path}.part")

    @Test
    fun aFileIsTheSameWithGzipInFewerBytesAndWithoutIt() =
        wired { wire, cache, client ->
            assertTrue(zipped.size < 0.8 * table.size)
            wire.answer(zipped, "gzip")
            wire.answer(table)
            repeat(2) {
                assertContentEquals(table, client(1).file(file))
                assertTrue(File(cache, file.path).delete())
            }
            assertEquals(listOf<Pair<String?, String?>>("gzip" to null, "gzip" to null), wire.parts)
        }

    @Test
    fun aCompressedDownloadResumesByBytesOfTheFile() =
        wired { wire, cache, client ->
            wire.answer(zipped.copyOf(zipped.size / 2), "gzip", length = zipped.size)
            assertFailsWith<UnreachableException> { client(1).file(file) }
            val have = draft(cache).length().toInt()
            assertTrue(have in 1 until table.size)
            wire.answer(table.copyOfRange(have, have + 5000), status = 206, length = table.size - have)
            wire.answer(table.copyOfRange(have + 5000, table.size), status = 206)
            assertContentEquals(table, client(4).file(file))
            val rest = listOf(have, have + 5000).map { "identity" to "bytes=$it-" }
            assertEquals(listOf<Pair<String?, String?>>("gzip" to null) + rest, wire.parts)
            assertEquals(setOf<String?>("\"$digest\""), wire.asked.drop(1).map { it["if-range"] }.toSet())
        }

    @Test
    fun aStreamThatEndsEarlyIsNotTakenAsWhole() {
        for (missing in listOf(1, 8, 9, 500)) {
            wired { wire, cache, client ->
                wire.answer(zipped.copyOf(zipped.size - missing), "gzip")
                assertFailsWith<UnreachableException> { client(1).file(file) }
                assertFalse(File(cache, file.path).exists())
                val have = draft(cache).length().toInt()
                val rest = table.copyOfRange(have, table.size)
                if (rest.isEmpty()) wire.answer("{}".toByteArray(), status = 416) else wire.answer(rest, status = 206)
                assertContentEquals(table, client(1).file(file))
                assertEquals("identity" to "bytes=$have-", wire.parts.last())
            }
        }
    }

    @Test
    fun aBombIsRefusedAndNothingOfItStays() =
        wired { wire, cache, client ->
            wire.answer(zipped(ByteArray(100_000_000)), "gzip")
            val refused = assertFailsWith<TransportException> { client(4).file(file) }
            assertTrue("at most the ${table.size} bytes" in refused.message.orEmpty(), refused.toString())
            assertEquals(1, wire.asked.size)
            assertEquals(0, cache.listFiles().orEmpty().size)
        }

    @Test
    fun aModelIsBoundedByItsManifest() =
        wired { wire, _, client ->
            val manifest = "{\"files\": {\"edge.tflite\": {\"sha256\": \"${"ab".repeat(32)}\", \"bytes\": 2000}}}"
            wire.answer(manifest.toByteArray())
            wire.answer(zipped(ByteArray(10_000)), "gzip")
            val refused = assertFailsWith<TransportException> { client(4).model("edge.tflite") }
            assertTrue("at most the 2000 bytes" in refused.message.orEmpty(), refused.toString())
            // A manifest is asked for as it is.
            assertEquals(listOf<Pair<String?, String?>>("identity" to null, "gzip" to null), wire.parts)
        }

    @Test
    fun anotherFileUnderTheNameIsNeverKept() =
        wired { wire, cache, client ->
            val other = table.clone().also { it[9] = 99 }
            repeat(2) { wire.answer(zipped(other), "gzip") }
            val refused = assertFailsWith<TransportException> { client(4).file(file) }
            assertTrue("got another twice" in refused.message.orEmpty())
            assertEquals(0, cache.listFiles().orEmpty().size)
        }

    @Test
    fun codingsThatWereNotAskedForAreRefused() {
        for ((status, coding) in listOf(200 to "br", 206 to "gzip")) {
            wired { wire, cache, client ->
                wire.answer(zipped, coding, status)
                val refused = assertFailsWith<TransportException> { client(4).file(file) }
                assertTrue("got $coding with status $status" in refused.message.orEmpty(), refused.toString())
                assertEquals(0, cache.listFiles().orEmpty().size)
            }
        }
    }

    @Test
    fun whatIsNoGzipIsAskedForAgain() {
        for (body in listOf(ByteArray(0), "no gzip".toByteArray(), zipped.copyOf(200) + ByteArray(300))) {
            wired { wire, cache, client ->
                wire.answer(body, "gzip")
                assertFailsWith<UnreachableException> { client(1).file(file) }
                assertFalse(File(cache, file.path).exists())
            }
        }
    }
}
