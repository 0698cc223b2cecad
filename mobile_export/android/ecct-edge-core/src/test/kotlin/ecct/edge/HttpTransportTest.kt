package ecct.edge

import com.sun.net.httpserver.HttpExchange
import com.sun.net.httpserver.HttpServer
import com.sun.net.httpserver.HttpsConfigurator
import com.sun.net.httpserver.HttpsServer
import java.io.File
import java.net.InetSocketAddress
import java.net.ServerSocket
import java.security.KeyStore
import javax.net.ssl.KeyManagerFactory
import javax.net.ssl.SSLContext
import javax.net.ssl.TrustManagerFactory
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class HttpTransportTest {
    private fun <T> served(answer: (HttpExchange) -> Unit, block: (String) -> T): T {
        val server = HttpServer.create(InetSocketAddress("127.0.0.1", 0), 0)
        server.createContext("/") { exchange -> exchange.use { answer(it) } }
        server.start()
        try {
            return block("http://127.0.0.1:${server.address.port}")
        } finally {
            server.stop(0)
        }
    }

    private fun <T> HttpExchange.use(block: (HttpExchange) -> T): T = try { block(this) } finally { close() }

    private fun HttpExchange.send(status: Int, content: ByteArray) {
        sendResponseHeaders(status, if (content.isEmpty()) -1 else content.size.toLong())
        if (content.isNotEmpty()) responseBody.write(content)
    }

    @Test
    fun aRequestArrivesAsItWasGivenAndItsAnswerComesBack() {
        val seen = ArrayList<String>()
        served({ exchange ->
            val own = exchange.requestHeaders
            seen += "${exchange.requestMethod} ${exchange.requestURI} ${own.getFirst("Authorization")} " +
                "${own.getFirst("Accept-Encoding")} ${exchange.requestBody.readBytes().toList()}"
            exchange.responseHeaders.add("Retry-After", "7")
            exchange.send(503, "{\"error\": \"busy\"}".toByteArray())
        }) { address ->
            val request = Request("PUT", "/v1/uplinks", mapOf("Authorization" to "Bearer t"), byteArrayOf(1, 2))
            val answer = HttpTransport("$address/").ask(request, null)
            assertEquals(listOf("PUT /v1/uplinks Bearer t identity [1, 2]"), seen)
            assertEquals(503 to "7", answer.status to answer.headers["retry-after"])
            assertEquals("{\"error\": \"busy\"}", String(answer.body))
        }
    }

    @Test
    fun aSinkTakesTheBodyOfASuccessAndOfNothingElse() {
        val content = ByteArray(200_000) { it.toByte() }
        served({ it.send(if (it.requestURI.path == "/part") 206 else 404, content) }) { address ->
            val transport = HttpTransport(address)
            val taken = java.io.ByteArrayOutputStream()
            val sink = Sink { _, block, length -> taken.write(block, 0, length) }
            assertEquals(0, transport.ask(Request("GET", "/part", emptyMap()), sink).body.size)
            assertContentEquals(content, taken.toByteArray())
            assertContentEquals(content, transport.ask(Request("GET", "/none", emptyMap()), sink).body)
            assertEquals(content.size, taken.size())
        }
    }

    @Test
    fun aRedirectIsNotFollowedWithTheToken() {
        var elsewhere = false
        served({ exchange ->
            if (exchange.requestURI.path == "/elsewhere") elsewhere = true
            exchange.responseHeaders.add("Location", "/elsewhere")
            exchange.send(302, ByteArray(0))
        }) { address ->
            assertEquals(302, HttpTransport(address).ask(Request("GET", "/", emptyMap()), null).status)
        }
        assertFalse(elsewhere)
    }

    @Test
    fun aBodyThatEndsEarlyAndASilentServiceAreNoAnswers() {
        ServerSocket(0).use { listening ->
            val answers = listOf("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "")
            val serving =
                thread {
                    for (answer in answers) {
                        listening.accept().use { connection ->
                            connection.getInputStream().read(ByteArray(1000))
                            connection.getOutputStream().write(answer.toByteArray())
                        }
                    }
                }
            val transport = HttpTransport("http://localhost:${listening.localPort}", timeoutMilliseconds = 20_000)
            var taken = 0
            assertFailsWith<UnreachableException> {
                transport.ask(Request("GET", "/", emptyMap())) { _, _, length -> taken += length }
            }
            assertEquals(5, taken)
            assertFailsWith<UnreachableException> {
                transport.ask(Request("PUT", "/", emptyMap(), byteArrayOf(1)), null)
            }
            serving.join()
        }
        val gone = ServerSocket(0).use { it.localPort }
        assertFailsWith<UnreachableException> {
            HttpTransport("http://127.0.0.1:$gone").ask(Request("GET", "/", emptyMap()), null)
        }
    }

    @Test
    fun anAddressThatWouldGiveTheTokenAwayIsRefused() {
        for (address in listOf("http://cloud.example:80", "ftp://cloud.example", "cloud.example", "https://")) {
            assertFailsWith<InputException>(address) { HttpTransport(address) }
        }
        assertFailsWith<InputException> { HttpTransport("https://cloud.example", pins = setOf("ab")) }
        assertFailsWith<InputException> { HttpTransport("http://127.0.0.1:1", pins = setOf("ab".repeat(32))) }
        HttpTransport("http://cloud.example", plain = true)
        HttpTransport("https://cloud.example:8443", pins = setOf("ab".repeat(32)))
    }

    @Test
    fun theCertificateIsComparedBeforeTheTokenIsSent() =
        inFolder { folder ->
            val keys = certificate(File(folder, "keys.p12"))
            var requests = 0
            val server = HttpsServer.create(InetSocketAddress("127.0.0.1", 0), 0)
            server.httpsConfigurator = HttpsConfigurator(context(keys))
            server.createContext("/") { exchange ->
                requests++
                exchange.use { it.send(200, "{}".toByteArray()) }
            }
            server.start()
            try {
                val address = "https://127.0.0.1:${server.address.port}"
                val pin = sha256(keys.getCertificate("own").encoded).toHex()
                val trusting = context(keys).socketFactory
                fun ask(pins: Set<String>?, own: Boolean = true) =
                    HttpTransport(address, pins = pins, sockets = trusting.takeIf { own })
                        .ask(Request("GET", "/", mapOf("Authorization" to "Bearer t")), null).status
                assertEquals(200, ask(null))
                assertEquals(200, ask(setOf("0".repeat(64), pin)))
                val wrong = assertFailsWith<TransportException> { ask(setOf("0".repeat(64))) }
                assertTrue("nothing was sent" in wrong.message.orEmpty())
                val strange = assertFailsWith<TransportException> { ask(null, own = false) }
                assertTrue("not trusted" in strange.message.orEmpty(), strange.toString())
                assertFalse(strange is UnreachableException)
                assertEquals(2, requests)
            } finally {
                server.stop(0)
            }
        }

    /** A certificate for 127.0.0.1 that vouches for itself, by the JDK's own tool. */
    private fun certificate(file: File): KeyStore {
        val tool = File(System.getProperty("java.home"), "bin/keytool").path
        val made =
            ProcessBuilder(
                tool, "-genkeypair", "-alias", "own", "-keyalg", "EC", "-dname", "CN=127.0.0.1",
                "-ext", "SAN=IP:127.0.0.1", "-storetype", "PKCS12", "-keystore", file.path, "-storepass", PASSWORD,
            ).redirectErrorStream(true).start()
        val told = made.inputStream.readBytes()
        check(made.waitFor() == 0) { String(told) }
        return KeyStore.getInstance("PKCS12").apply { file.inputStream().use { load(it, PASSWORD.toCharArray()) } }
    }

    private fun context(keys: KeyStore): SSLContext {
        val own = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm())
        own.init(keys, PASSWORD.toCharArray())
        val trusted = KeyStore.getInstance("PKCS12").apply { load(null) }
        trusted.setCertificateEntry("own", keys.getCertificate("own"))
        val trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm()).apply { init(trusted) }
        return SSLContext.getInstance("TLS").apply { init(own.keyManagers, trust.trustManagers, null) }
    }

    private companion object {
        const val PASSWORD = "changeit"
    }
}
