package ecct.edge

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** Rounds with the cloud, and the answers that wait. */
class CloudRoundTest {
    private val golden =
        JsonObject.parse(
            checkNotNull(javaClass.getResourceAsStream("/golden/transport.json")).use { String(it.readBytes()) },
            "transport.json",
        )
    private val current = String(golden.hex("current"))
    private val receipt = said(200, "{\"taken\": 1, \"repeated\": 0, \"too_old\": 0}")
    private val once = Retries(attempts = 1)

    private fun record(round: Int): ByteArray =
        encodeUplinkRecord(ByteArray(Golden.model.metadata.exchange.uplinkBytes), Golden.model.metadata.exchange, round, 1, 9)

    private fun client(folder: File, vararg answers: Scripted): Pair<ScriptedTransport, CloudClient> {
        val transport = ScriptedTransport(*answers)
        return transport to CloudClient(transport, "t", File(folder, "cache"), once)
    }

    private fun published() = said(200, current)

    private fun downlink() = Scripted(200, golden.hex("downlink"))

    private fun <T> onDevice(folder: File, block: (EdgeRecommender, FakeInterpreter) -> T): T {
        lateinit var fake: FakeInterpreter
        val model = Golden.model
        val factory = EdgeInterpreterFactory { FakeInterpreter(model.metadata).also { fake = it } }
        val states = StateFile(File(folder, "device.state"))
        return EdgeRecommender.open(model, factory, states, Golden.user, Golden.profile).use { device ->
            if (device.state.history.isEmpty()) device.interact(Golden.history)
            block(device, fake)
        }
    }

    @Test
    fun answersWaitUntilTheyAreConfirmedAndOneBadOneHoldsUpNone() =
        inFolder { folder ->
            val outbox = Outbox(File(folder, "outbox"), most = 4)
            for (round in listOf(3, 1, 2, 5, 4)) outbox.add(record(round))
            outbox.add(record(5))
            assertEquals(4 to 5, outbox.size to outbox.answeredRound)
            assertFailsWith<UnreachableException> { outbox.send(client(folder, said(503)).second) }
            assertEquals(4, Outbox(File(folder, "outbox")).size)
            File(folder, "outbox/0000000009.ecup").writeBytes(record(9).also { it[44]++ })
            val refusal = said(422, "{\"error\": \"a round that was not asked\", \"index\": 1}")
            val (transport, client) =
                client(folder, refusal, said(200, "{\"taken\": 2, \"repeated\": 1, \"too_old\": 0}"))
            val report = outbox.send(client)
            assertEquals(listOf(2, 1, 2), listOf(report.taken, report.repeated, report.refused))
            assertContentEquals(record(2) + record(4) + record(5), transport.asked.last().body)
            assertEquals(0, outbox.size)
            assertContentEquals(record(3), File(folder, "outbox/refused/0000000003.ecup").readBytes())
            assertTrue("not asked" in File(folder, "outbox/refused/0000000003.ecup.reason.txt").readText())
            assertTrue(File(folder, "outbox/refused/0000000009.ecup").exists())
            assertFailsWith<PayloadException> { outbox.add(byteArrayOf(1, 2, 3)) }
        }

    @Test
    fun whatIsForgottenIsInNoFile() =
        inFolder { folder ->
            val place = File(folder, "outbox")
            val outbox = Outbox(place)
            outbox.add(record(3))
            File(place, ".0000000004.ecup.part").writeBytes(record(4).copyOf(20))
            File(place, "refused").mkdirs()
            File(place, "refused/0000000002.ecup").writeBytes(record(2))
            outbox.forget()
            outbox.forget()
            assertEquals(emptyList(), folder.list().orEmpty().toList())
            assertEquals(0 to null, outbox.size to outbox.answeredRound)
            outbox.add(record(5))
            assertEquals(1, outbox.size)
        }

    @Test
    fun manyAnswersGoInPortionsThatAServiceTakes() =
        inFolder { folder ->
            val outbox = Outbox(File(folder, "outbox"), most = 450)
            for (round in 0 until 450) outbox.add(record(round))
            val receipts = listOf(200, 200, 50).map { said(200, "{\"taken\": $it, \"repeated\": 0, \"too_old\": 0}") }
            val (transport, client) = client(folder, *receipts.toTypedArray())
            assertEquals(450, outbox.send(client).taken)
            assertEquals(listOf(200, 200, 50), transport.asked.map { it.body.size / record(0).size })
        }

    @Test
    fun aRoundIsFetchedTrainedAndAnsweredOnce() =
        inFolder { folder ->
            val outbox = Outbox(File(folder, "outbox"))
            onDevice(folder) { device, _ ->
                val (transport, client) = client(folder, published(), downlink(), receipt)
                val report = takePart(device, client, outbox, nowSeconds = { 1_790_000_000L })
                assertEquals(5 to 1, report.round to report.sent?.taken)
                assertTrue(assertNotNull(report.training).applied > 0)
                assertEquals(5, recordRound(transport.asked.last().body))
                val (second, asked) = client(folder, said(304))
                val again = takePart(device, asked, outbox)
                assertNull(again.training)
                assertEquals(listOf("GET"), second.asked.map { it.method })
                assertEquals(1, device.state.round)
            }
        }

    /** What a service that mixed users up answers, or one that is asked with the token of another. */
    private fun downlinkOf(user: Int): Scripted {
        val content = golden.hex("downlink")
        val body = content.copyOf(content.size - Sealed.DIGEST_BYTES)
        ByteBuffer.wrap(body).order(ByteOrder.LITTLE_ENDIAN).putInt(64, user)
        return Scripted(200, body + sha256(body))
    }

    @Test
    fun aRoundWithTheDownlinkOfAnotherUserIsRefusedAndChangesNothing() =
        inFolder { folder ->
            val outbox = Outbox(File(folder, "outbox"))
            onDevice(folder) { device, fake ->
                val states = File(folder, "device.state")
                val before = states.readBytes()
                for (other in listOf(0, Golden.user + 1)) {
                    val (_, client) = client(folder, published(), downlinkOf(other), receipt)
                    val error = assertFailsWith<PayloadException> { takePart(device, client, outbox) }
                    val says = error.message.orEmpty()
                    assertTrue("expected one of user ${Golden.user}, whose device this is, got one of user $other;" in says, says)
                }
                assertContentEquals(before, states.readBytes())
                assertEquals(emptyList(), fake.of("train"))
                assertEquals(0, outbox.size)
                val (_, client) = client(folder, published(), downlinkOf(Golden.user), receipt)
                assertEquals(1, takePart(device, client, outbox).sent?.taken)
            }
        }

    @Test
    fun aKillBetweenTrainingAndAnswerCostsNothing() =
        inFolder { folder ->
            val outbox = Outbox(File(folder, "outbox"))
            val publication = client(folder, published()).second.current()
            onDevice(folder) { device, _ ->
                device.takePart(client(folder, downlink()).second.downlink(publication, device.model.metadata.exchange))
            }
            onDevice(folder) { device, _ ->
                val report = takePart(device, client(folder, said(304), receipt).second, outbox)
                assertNull(report.training)
                assertEquals(1 to 1, report.sent?.taken to device.state.round)
            }
        }

    @Test
    fun withoutNetworkTheAnswerWaitsAndARefusedTokenIsSaid() =
        inFolder { folder ->
            val outbox = Outbox(File(folder, "outbox"))
            onDevice(folder) { device, _ ->
                val gone = client(folder, published(), downlink(), said(503)).second
                assertNull(takePart(device, gone, outbox).sent)
                assertEquals(1, outbox.size)
                assertFailsWith<TokenRefusedException> { takePart(device, client(folder, said(304), said(401)).second, outbox) }
                assertFailsWith<UnreachableException> { takePart(device, client(folder, said(503)).second, outbox) }
                assertEquals(1, takePart(device, client(folder, said(304), receipt).second, outbox).sent?.taken)
            }
        }

    @Test
    fun anotherItemTableIsFetchedAsAFileBeforeTheDeviceTakesPart() =
        inFolder { folder ->
            val table = Golden.model.metadata.tableSha256
            val other = said(200, current.replace(table, "ab".repeat(32)))
            val content = "a model".toByteArray()
            val manifest = "{\"files\": {\"edge.tflite\": {\"sha256\": \"${sha256(content).toHex()}\"}}}"
            onDevice(folder) { device, _ ->
                val outbox = Outbox(File(folder, "outbox"))
                val (_, client) = client(folder, other, said(200, manifest), Scripted(200, content))
                val report = takePart(device, client, outbox)
                assertContentEquals(content, report.newModel?.readBytes())
                assertTrue(File(report.newModel?.parentFile, "manifest.json").exists())
                assertNull(report.training)
                assertNull(device.state.downlink)
            }
        }

    @Test
    fun aPublicationThatIsReplacedMeanwhileIsAskedForAgain() =
        inFolder { folder ->
            val newer = said(200, current.replace("\"round_number\": 5", "\"round_number\": 6"))
            onDevice(folder) { device, _ ->
                val (transport, client) = client(folder, newer, downlink(), published(), downlink(), receipt)
                assertEquals(5, takePart(device, client, Outbox(File(folder, "outbox"))).round)
                assertEquals(5, transport.asked.size)
            }
        }

    @Test
    fun takingPartIsAllOrNothing() =
        inFolder { folder ->
            val publication = client(folder, published()).second.current()
            onDevice(folder) { device, fake ->
                val asked = client(folder, downlink()).second.downlink(publication, device.model.metadata.exchange)
                fake.failing = "train"
                assertFailsWith<Exception> { device.takePart(asked) }
                assertNull(device.state.downlink)
                fake.failing = null
                // What trains sees the new downlink, which is kept with what was trained.
                device.takePart(asked)
                val seen = fake.of("train").last().inputs["user_embedding"] as ByteArray
                val expected = HashMap<String, Any>().also { asked.addTo(it) }["user_embedding"] as ByteArray
                assertContentEquals(expected, seen)
                assertEquals(5 to 1, device.state.downlink?.round to device.state.round)
                assertFailsWith<PayloadException> { device.takePart(older(asked)) }
            }
        }

    private fun older(downlink: Downlink): Downlink {
        val exchange = Golden.model.metadata.exchange
        val bytes = ByteBuffer.allocate(exchange.downlinkBytes).order(ByteOrder.LITTLE_ENDIAN)
        return Downlink.decode(bytes.array(), exchange, cloudVersion = 1, round = downlink.round - 1)
    }
}
