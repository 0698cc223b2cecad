package ecct.edge

import java.io.File
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class CloudClientTest {
    private val golden = JsonObject.parse(resource("transport.json"), "transport.json")

    private fun resource(name: String): String =
        checkNotNull(javaClass.getResourceAsStream("/golden/$name")).use { String(it.readBytes()) }

    private fun again(waits: MutableList<Double> = ArrayList()) =
        Retries(attempts = 4, sleep = { waits += it }, draw = { 0.5 })

    private fun answers(step: JsonObject): Array<Scripted> =
        step.children("answers").map {
            val headers = it.child("headers")
            Scripted(
                it.count("status"), it.hex("body"), headers.names.associateWith(headers::text),
                if (it.has("break_after")) it.count("break_after") else null,
            )
        }.toTypedArray()

    private fun records(step: JsonObject) =
        step.strings("records").map { it.chunked(2).map { two -> two.toInt(16).toByte() }.toByteArray() }

    /** The calls of the script, as `tests/mobile_export/test_mobile_export_android_transport.py` makes them. */
    private fun call(client: CloudClient, step: JsonObject) {
        when (val name = step.text("call")) {
            "current" -> client.current()
            "downlink" -> client.downlink(client.current(), Golden.model.metadata.exchange)
            "model" -> client.model("edge.tflite")
            "send" -> client.send(records(step))
            "send by place" -> client.current().let { client.send(records(step)) }
            "token" -> client.rotateToken()
            else -> error(name)
        }
    }

    @Test
    fun requestsAndWaitsAreThoseOfPython() {
        val steps = golden.children("steps")
        assertEquals(listOf("current", "current", "downlink", "downlink", "model", "send", "send by place", "token", "current"), steps.map { it.text("call") })
        inFolder { cache ->
            for (step in steps) {
                val waits = ArrayList<Double>()
                val transport = ScriptedTransport(*answers(step))
                val client = CloudClient(transport, step.text("token"), cache, again(waits))
                call(client, step)
                val expected = step.children("requests")
                assertEquals(expected.size, transport.asked.size, step.text("call"))
                for ((request, made) in expected.zip(transport.asked)) {
                    val headers = request.child("headers")
                    assertEquals(request.text("method") to request.text("path"), made.method to made.path)
                    assertEquals(headers.names.associateWith(headers::text), made.headers)
                    assertContentEquals(request.hex("body"), made.body)
                }
                assertEquals(step.list("waits"), waits)
            }
        }
    }

    private fun step(number: Int) = answers(golden.children("steps")[number])

    @Test
    fun whatIsNotWhatWasPublishedIsNeverKept() =
        inFolder { cache ->
            val (manifest, _, whole) = step(MODEL)
            val torn = whole.body.clone().also { it[3] = (it[3] + 1).toByte() }
            val transport = ScriptedTransport(manifest, Scripted(200, torn))
            val client = CloudClient(transport, "t", cache, again())
            val error = assertFailsWith<TransportException> { client.model("edge.tflite") }
            assertTrue("got another twice" in error.message.orEmpty())
            assertEquals(emptyList(), cache.walk().filter { it.isFile }.toList())
            assertEquals(listOf(null, null), transport.asked.drop(1).map { it.headers["Range"] })
            assertFailsWith<TransportException> { client(cache, manifest).model("other.tflite") }
        }

    private fun client(cache: File, vararg answers: Scripted) =
        CloudClient(ScriptedTransport(*answers), "t", cache, again())

    @Test
    fun aDownlinkOfAnotherPublicationIsNotTaken() =
        inFolder { cache ->
            val (current, own) = step(DOWNLINK)
            val text = String(current.body)
            val newer = said(200, text.replace("\"round_number\": 5", "\"round_number\": 6"))
            val exchange = Golden.model.metadata.exchange
            val publication = client(cache, newer).current()
            assertFailsWith<StalePublicationException> { client(cache, own).downlink(publication, exchange) }
            val several = Scripted(200, Golden.altered.child("sound").hex("downlinks"))
            val error = assertFailsWith<TransportException> { client(cache, several).downlink(publication, exchange) }
            assertTrue("expected downlinks of users, of one alone, got 2 of users" in error.message.orEmpty())
            val short = Scripted(200, own.body.copyOf(own.body.size - 1))
            assertFailsWith<TransportException> { client(cache, short).downlink(publication, exchange) }
        }

    @Test
    fun whatIsCurrentAndDamagedIsNotKept() =
        inFolder { cache ->
            for (text in listOf("{", "[]", "{\"format\": 2}", String(step(0)[0].body).replace("segments-", "../segments-"))) {
                assertFailsWith<TransportException>(text) { client(cache, said(200, text)).current() }
                assertEquals(0, cache.listFiles().orEmpty().size)
            }
        }

    @Test
    fun refusalsAreErrorsOfTheirOwnAndAskedOnce() =
        inFolder { cache ->
            val record = byteArrayOf(1)
            val refused = ScriptedTransport(said(422, "{\"error\": \"no\", \"index\": 3}"))
            val error =
                assertFailsWith<RecordRefusedException> { CloudClient(refused, "t", cache, again()).send(listOf(record)) }
            assertEquals(3 to 1, error.index to refused.asked.size)
            assertFailsWith<TokenRefusedException> { client(cache, said(401)).send(listOf(record)) }
            assertFailsWith<TransportException> { client(cache, said(200, "{\"taken\": \"x\"}")).send(listOf(record)) }
            // A receipt of more than was sent is none: it confirms nothing.
            val other = "{\"taken\": 2, \"repeated\": 0, \"too_old\": 0}"
            assertFailsWith<TransportException> { client(cache, said(200, other)).send(listOf(record)) }
            assertFailsWith<TransportException> { client(cache, said(200, "no JSON")).rotateToken() }
            val busy = ScriptedTransport(said(503))
            assertFailsWith<UnreachableException> { CloudClient(busy, "t", cache, again()).send(listOf(record)) }
            assertEquals(4, busy.asked.size)
        }

    private companion object {
        const val DOWNLINK = 2
        const val MODEL = 4
    }
}
