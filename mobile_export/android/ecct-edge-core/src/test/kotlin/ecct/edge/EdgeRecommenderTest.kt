package ecct.edge

import java.io.File
import java.util.concurrent.CountDownLatch
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertTrue

class EdgeRecommenderTest {
    /** A device with the golden history, profile and downlink over a fake interpreter. */
    private class Bench(folder: File, val model: ModelFile = Golden.model) {
        val states = StateFile(File(folder, "device.state"))
        val fake = FakeInterpreter(model.metadata)

        fun open(user: Int = Golden.user, profile: Map<String, String>? = Golden.profile, adopt: Boolean = false) =
            EdgeRecommender.open(model, { fake }, states, user, profile, adopt)

        fun ready(): EdgeRecommender =
            open().apply {
                interact(Golden.history)
                setKnownToCloud(Golden.case.count("older"))
                val published = DownlinkFile.parse(Golden.case.hex("downlink_file"))
                receive(checkNotNull(published.of(Golden.user, model.metadata.exchange)))
            }

        val kept: DeviceState get() = assertNotNull(states.read()).state
    }

    private fun bench(block: Bench.() -> Unit) = inFolder { Bench(it).block() }

    @Test
    fun scoreSendsRowsAndReturnsTokensInTheirOrder() =
        bench {
            val found = ready().score(Golden.candidates)
            val inputs = fake.of("score").single().inputs
            assertContentEquals(intArrayOf(5, 35, 8, 0), inputs["candidates"] as IntArray)
            assertContentEquals(intArrayOf(3, 1, 4, 15, 9, 26), inputs["history"] as IntArray)
            assertContentEquals(intArrayOf(1, 1), inputs["profile"] as IntArray)
            assertContentEquals(floatArrayOf(0.0078125f), inputs["user_embedding_scale"] as FloatArray)
            assertEquals(5, inputs.size)
            assertEquals(Golden.candidates, found.map { it.item })
            assertEquals(listOf(true, true, true, false), found.map { it.known })
            assertContentEquals(floats(Golden.case.child("score").list("logit")), found.map { it.logit }.toFloatArray())
            assertEquals(emptyList(), open().score(emptyList()))
        }

    @Test
    fun recommendsTheBestItemsThatTheUserHasNotMet() =
        bench {
            val device = ready()
            fake.ranking = { _, rows -> FloatArray(rows.size) { if (rows[it] % 5 == 0) 9f else rows[it] / 100f } }
            val rows = device.recommend(k = 4).map { model.itemRow(it.item) }
            val last = model.metadata.itemRows - 1
            val fives = (1..last).filter { it % 5 == 0 && it !in listOf(3, 1, 4, 15, 9, 26) }
            assertEquals(fives.take(4), rows)
            val some = listOf(2, 9, 5).map { checkNotNull(model.itemToken(it)) } + "no item"
            assertEquals(listOf(5, 2), device.recommend(candidates = some).map { model.itemRow(it.item) })
            val met = device.recommend(candidates = some, withMet = true).map { model.itemRow(it.item) }
            assertEquals(listOf(5, 9, 2), met)
            assertEquals(emptyList(), device.recommend(candidates = listOf("no item")))
            assertFailsWith<InputException> { device.recommend(k = 0) }
        }

    @Test
    fun aDownlinkThatSaysAnotherUserIsRefusedAndOneThatSaysNoneIsTaken() =
        bench {
            val device = ready()
            val before = states.file.readBytes()
            val exchange = model.metadata.exchange
            val published = DownlinkFile.parse(Golden.case.hex("downlink_file"))
            val others = listOf(checkNotNull(published.of(3, exchange)), Downlink.decode(Golden.downlink, exchange, user = 20))
            for (other in others) {
                for (call in listOf<(Downlink) -> Any>(device::receive, { device.takePart(it) })) {
                    val says = assertFailsWith<PayloadException> { call(other) }.message.orEmpty()
                    assertTrue("expected one of user ${Golden.user}, whose device this is, got one of user ${other.user};" in says, says)
                }
            }
            assertContentEquals(before, states.file.readBytes())
            // Of a segment, whose key is none of a user; and of bytes that say nothing.
            val body = Golden.case.hex("downlink_file").let { it.copyOf(it.size - Sealed.DIGEST_BYTES) }.also { it[7] = 1 }
            val segment = checkNotNull(DownlinkFile.parse(body + sha256(body)).of(3, exchange))
            assertEquals(null, segment.user)
            device.receive(segment)
            device.receive(Downlink.decode(Golden.downlink, exchange, cloudVersion = 3, round = 6))
            device.receive(Downlink.decode(Golden.downlink, exchange, cloudVersion = 3, round = 7, user = Golden.user))
            assertEquals(null, kept.downlink?.user)
            assertFailsWith<PayloadException> { Downlink.decode(Golden.downlink, exchange, user = -1) }
        }

    @Test
    fun allThatIsKeptOfTheUserCanBeReadAndForgotten() =
        bench {
            val device = ready()
            val told = device.exportPersonalData()
            for (token in Golden.history) assertTrue("\"item\": \"$token\"" in told, token)
            for ((column, value) in Golden.profile) assertTrue("\"$column\": \"$value\"" in told, column)
            assertTrue("\"user\": ${Golden.user}" in told && "\"weights\": [" in told && "\"queries\": [" in told)
            File(states.file.parentFile, ".${states.file.name}.part").writeText("left by a kill")
            device.forget()
            assertTrue(fake.closed)
            assertFailsWith<ClosedException> { device.score(Golden.candidates) }
            assertEquals(listOf(".states.lock"), states.file.parentFile.list().orEmpty().toList())
        }

    @Test
    fun aStaticFileIsFedItsOwnNumberOfRows() =
        inFolder { folder ->
            // B = 8 rows for training, C = 3 candidates.
            val static =
                Golden.modelWith { text ->
                    val (before, after) = text.split("\"score\":{", limit = 2)
                    val (score, rest) = after.split("\"set_weights\"", limit = 2)
                    val train = rest.replace("[null,6]", "[8,6]").replace("\"shape\":[null]", "\"shape\":[8]")
                    before + "\"score\":{" + score.replace("[null]", "[3]") + "\"set_weights\"" + train
                }
            Bench(folder, static).run {
                val device = ready()
                assertEquals(4, device.score(Golden.candidates).size)
                val portions = fake.of("score").map { (it.inputs["candidates"] as IntArray).toList() }
                assertEquals(listOf(listOf(5, 35, 8), listOf(0, 0, 0)), portions)
                assertEquals(3, device.train(TrainingOptions(epochs = 1, negatives = 3)).applied)
                val masks = fake.of("train").map { (it.inputs["mask"] as FloatArray).sum() }
                assertEquals(listOf(6f, 6f, 4f), masks)
                assertEquals(8, (fake.of("train")[0].inputs["labels"] as FloatArray).size)
                assertFailsWith<InputException> { device.train(TrainingOptions(batchSize = 9)) }
            }
            Unit
        }

    @Test
    fun aFileThatOnlyInfersScoresAndRefusesToTrain() =
        inFolder { folder ->
            val inference =
                Golden.modelWith { text ->
                    listOf("train", "get_weights", "set_weights", "save", "restore", "reset_optimizer").fold(
                        text.replace("\"trainable\":true", "\"trainable\":false"),
                    ) { left, name -> left.replace("\"$name\":{\"inputs\"", "\"un$name\":{\"inputs\"") }
                }
            Bench(folder, inference).run {
                val device = ready()
                assertEquals(4, device.score(Golden.candidates).size)
                assertEquals(0, kept.values.size)
                assertFailsWith<InputException> { device.train() }
                assertFailsWith<InputException> { device.weights() }
                open().close()
            }
        }

    @Test
    fun uplinksHaveTheBytesOfPython() =
        bench {
            val device = ready()
            assertContentEquals(Golden.case.child("uplink").hex("bytes"), device.uplink())
            assertContentEquals(intArrayOf(5, 35, 8, 0), fake.of("uplink").single().inputs["queries"] as IntArray)
            val record = Golden.case.child("record")
            val time = record.count("created_at_seconds").toLong()
            assertContentEquals(record.hex("bytes"), device.uplinkRecord(time))
        }

    @Test
    fun aDownlinkOfAnotherItemTableIsRefusedAndDroppedByAFileThatAdopts() =
        inFolder { folder ->
            val known = Golden.model.metadata.tableSha256
            val other = Golden.modelWith { it.replace(known, "cd".repeat(32)) }
            val ours = checkNotNull(Bench(folder).apply { ready().close() }.kept.downlink)
            assertEquals(known, ours.tableSha256)
            val renewed = Bench(folder, other)
            renewed.open(adopt = true).use { device ->
                assertEquals(null, device.state.downlink)
                val error = assertFailsWith<PayloadException> { device.receive(ours) }
                assertTrue(error.message.orEmpty().contains("fetch the model file"))
                assertEquals(null, renewed.kept.downlink)
            }
        }

    @Test
    fun withoutADownlinkTheCloudKnowsAndAsksNothing() =
        bench {
            val device = open()
            device.score(listOf("film 1"))
            assertContentEquals(ByteArray(8), fake.of("score").single().inputs["user_embedding"] as ByteArray)
            assertFailsWith<InputException> { device.uplink() }
        }

    @Test
    fun trainRunsTheEpochsOfTheFileAndKeepsTheState() =
        bench {
            val device = ready()
            val report = device.train(TrainingOptions(epochs = 2, negatives = 3, seed = 7))
            assertEquals(TrainingReport(16, applied = 6, refused = 0, 0.5f, 0.5f, completed = true), report)
            assertEquals(1, fake.of("reset_optimizer").size)
            val calls = fake.of("train").map { it.inputs }
            // Always six rows, so that a dynamic file is not resized for the last batch.
            assertEquals(List(6) { 6 }, calls.map { (it["candidates"] as IntArray).size })
            assertContentEquals(
                ints(Golden.wire.child("draw").list("candidates")),
                calls.take(3).flatMap { (it["candidates"] as IntArray).toList() }.take(16).toIntArray(),
            )
            assertContentEquals(floatArrayOf(0.05f), calls[0]["private_learning_rate"] as FloatArray)
            assertEquals(1, kept.round)
            assertContentEquals(fake.state, kept.values)
            assertEquals(6f, kept.values[0])
        }

    @Test
    fun aReopenedDeviceGoesOnWhereItWas() =
        bench {
            ready().use { it.train() }
            assertTrue(fake.closed)
            val before = kept.encode()
            fake.state.fill(0f)
            val device = open(profile = null)
            assertContentEquals(kept.values, fake.state)
            assertContentEquals(before, device.state.encode())
            assertContentEquals(before, kept.encode())
        }

    @Test
    fun aStepThatFailsOrAnswersNanChangesNothing() =
        bench {
            val device = ready()
            device.train()
            val before = kept.encode()
            fake.loss = Float.NaN
            assertFailsWith<RefusedException> { device.train() }
            fake.loss = 0.5f
            fake.failing = "save"
            assertFailsWith<IllegalArgumentException> { device.train() }
            fake.failing = null
            // The state cannot be written: a folder is in the way.
            File(states.file.parentFile, ".device.state.part").mkdir()
            assertFailsWith<StateFileException> { device.train() }
            assertContentEquals(before, kept.encode())
            assertContentEquals(kept.values, fake.state)
            assertContentEquals(before, device.state.encode())
        }

    @Test
    fun refusedStepsAreCounted() =
        bench {
            val device = ready()
            fake.applied = 0f
            val report = device.train(TrainingOptions(epochs = 1, negatives = 3))
            assertEquals(0 to 3, report.applied to report.refused)
        }

    @Test
    fun trainingStopsWhenAskedAndKeepsWhatWasDone() =
        bench {
            val device = ready()
            var asked = 0
            val report = device.train(TrainingOptions(negatives = 3)) { asked++ < 2 }
            assertFalse(report.completed)
            assertEquals(2, report.applied)
            assertEquals(2f, kept.values[0])
        }

    @Test
    fun concurrentCallsRunOneAfterAnother() =
        bench {
            val device = ready()
            val start = CountDownLatch(1)
            val threads =
                List(4) {
                    thread {
                        start.await()
                        device.train(TrainingOptions(epochs = 2, negatives = 3))
                        device.score(Golden.candidates)
                    }
                }
            start.countDown()
            threads.forEach { it.join() }
            assertFalse(fake.overlapped)
            assertEquals(4, device.state.round)
            assertEquals(24f, kept.values[0])
            // Steps of two calls never mix: each begins with a fresh optimiser.
            val order = fake.calls.map { it.signature }.filter { it == "train" || it == "reset_optimizer" }
            assertEquals(List(4) { listOf("reset_optimizer") + List(6) { "train" } }.flatten(), order)
        }

    @Test
    fun sharedWeightsAreReplacedAndPrivateOnesStay() =
        bench {
            val device = ready()
            device.train(TrainingOptions(epochs = 1))
            val own = device.weights()
            val shared = model.metadata.sharedWeights
            assertTrue(shared in 1 until own.size)
            device.replaceSharedWeights(FloatArray(shared) { 9f })
            assertContentEquals(FloatArray(shared) { 9f } + own.copyOfRange(shared, own.size), device.weights())
            assertFailsWith<InputException> { device.replaceSharedWeights(FloatArray(shared + 1)) }
            assertFailsWith<RefusedException> { device.replaceSharedWeights(FloatArray(shared) { Float.NaN }) }
            assertEquals(9f, device.weights()[0])
        }

    @Test
    fun unknownItemsAreLeftOutOfTheHistory() =
        bench {
            val device = open()
            assertEquals(1, device.interact(listOf("never seen", "film 2")))
            assertContentEquals(intArrayOf(2), kept.history)
            assertFailsWith<InputException> { device.setKnownToCloud(2) }
        }

    @Test
    fun aStateOfAnotherUserOrModelIsRefused() =
        bench {
            ready().close()
            assertFailsWith<StateFileException> { open(user = 12) }
            states.put(kept.copy(model = "0".repeat(64)))
            val error = assertFailsWith<StateFileException> { open() }
            assertTrue(error.message.orEmpty().contains("let this one adopt the state"))
            states.put(kept.copy(model = model.sha256, values = FloatArray(3)))
            assertFailsWith<StateFileException> { open() }
        }

    @Test
    fun aNewerModelAdoptsTheWeights() =
        bench {
            ready().use { it.train(TrainingOptions(epochs = 1)) }
            val trained = kept.values
            states.put(kept.copy(model = "0".repeat(64)))
            fake.state.fill(0.25f)
            val device = open(adopt = true)
            val weights = model.metadata.weights
            assertEquals(model.sha256, kept.model)
            assertContentEquals(trained.copyOf(weights), device.weights())
            assertEquals(0.25f, kept.values[weights])
            val other = kept.run {
                val layout = "1".repeat(64)
                DeviceState("0".repeat(64), layout, user, profile, history, times, olderItems, values, downlink, round)
            }
            states.put(other)
            assertFailsWith<StateFileException> { open(adopt = true) }
        }

    @Test
    fun inputsOfAnotherFormNeverReachTheRuntime() =
        bench {
            val runner = SignatureRunner(fake, model.metadata)
            val wrong =
                listOf(
                    "restore" to mapOf("state" to FloatArray(0)),
                    "set_weights" to mapOf("weights" to IntArray(3)),
                    "set_weights" to emptyMap(),
                    "score" to mapOf("history" to IntArray(5)),
                    "get_weights" to mapOf("unused" to Array(1) { FloatArray(1) }),
                    "train" to mapOf("history" to arrayOf(IntArray(6), IntArray(5))),
                )
            for ((signature, inputs) in wrong) {
                assertFailsWith<InputException>(signature) { runner.run(signature, inputs) }
            }
            assertEquals(0, fake.calls.size)
            assertFailsWith<InputException> { runner.run("translate", emptyMap()) }
        }

    @Test
    fun aGraphThatContradictsItsMetadataIsRefusedAndClosed() =
        bench {
            val text = associatedFiles(Golden.content).getValue(EdgeMetadata.FILE)
            val renamed = text.replace("\"private_learning_rate\",\"shape\"", "\"rate\",\"shape\"")
            val other = FakeInterpreter(EdgeMetadata.parse(renamed))
            assertFailsWith<ModelFileException> { EdgeRecommender.open(model, { other }, states, 1) }
            assertTrue(other.closed)
            assertFalse(states.file.exists())
        }

    @Test
    fun aClosedDeviceSaysSo() =
        bench {
            val device = ready()
            device.close()
            device.close()
            assertFailsWith<ClosedException> { device.score(Golden.candidates) }
            assertFailsWith<ClosedException> { device.train() }
        }

    @Test
    fun aLaterOpenerIsRefusedAndNoRoundIsLost() =
        bench {
            val device = ready()
            val other = EdgeRecommender.open(model, { FakeInterpreter(model.metadata) }, states, Golden.user)
            device.train()
            val learned = kept.encode()
            for (change in listOf({ other.train() }, { other.interact(listOf("film 1")) }, { other.setProfile(emptyMap()) })) {
                val error = assertFailsWith<StateFileException> { change() }
                assertTrue(error.message.orEmpty().contains("another opener changed it"))
                assertContentEquals(learned, kept.encode())
            }
            // What it had trained is undone: it scores with the weights of the state that it read.
            assertEquals(0, other.state.round)
            device.train()
            assertEquals(2, kept.round)
            states.file.delete()
            assertFailsWith<StateFileException> { device.interact(listOf("film 1")) }
            assertFalse(states.file.exists())
        }

    @Test
    fun anOlderDownlinkNeverReplacesANewerOne() =
        bench {
            val device = ready()
            val exchange = model.metadata.exchange
            fun downlink(version: Int, round: Int) = Downlink.decode(Golden.downlink, exchange, version, round)
            for ((version, round) in listOf(3 to 4, 2 to 5, 9 to 4)) {
                val error = assertFailsWith<PayloadException> { device.receive(downlink(version, round)) }
                assertTrue(error.message.orEmpty().contains("got round $round and version $version"))
            }
            assertEquals(3 to 5, kept.downlink?.let { it.cloudVersion to it.round })
            device.receive(downlink(3, 5))
            // A rolled back cloud publishes an older version for a newer round.
            device.receive(downlink(2, 6))
            assertEquals(2 to 6, kept.downlink?.let { it.cloudVersion to it.round })
        }

    @Test
    fun withNothingToTrainOnNoRoundIsCounted() =
        bench {
            val nothing = TrainingReport(0, applied = 0, refused = 0, 0f, 0f, completed = true)
            val device = open()
            assertEquals(nothing, device.train())
            device.interact(Golden.history)
            device.setKnownToCloud(Golden.history.size)
            assertEquals(nothing, device.train())
            assertEquals(0 to 0, kept.round to fake.of("train").size)
        }

    @Test
    fun aUserThatNoPayloadCanNameIsRefused() =
        bench {
            for (user in listOf(-1, -5, Int.MIN_VALUE)) {
                val error = assertFailsWith<InputException> { open(user = user) }
                assertTrue(error.message.orEmpty().contains("expected an id from 0"))
            }
            assertFalse(states.file.exists())
        }

    @Test
    fun anItemThatWouldWrapIsUnknown() {
        val rows =
            Golden.modelWith { text -> text.replace(Regex("\"file\":\"[^\"]*items[^\"]*\""), "\"file\":null") }
        for (token in listOf("4294967301", "2147483648", "-1", "99999999999999999999", "5.0", "0")) {
            assertEquals(0, rows.itemRow(token), token)
        }
        assertEquals(5, rows.itemRow("5"))
    }

    @Test
    fun optionsOutOfRangeAreRefused() {
        assertFailsWith<InputException> { TrainingOptions(epochs = 0) }
        assertFailsWith<InputException> { TrainingOptions(epochs = -1) }
        assertFailsWith<InputException> { TrainingOptions(batchSize = -2) }
        assertFailsWith<InputException> { TrainingOptions(learningRate = Float.POSITIVE_INFINITY) }
        assertFailsWith<InputException> { TrainingOptions(learningRate = Float.NaN) }
        assertFailsWith<InputException> { TrainingOptions(privateLearningRate = 1.5f) }
    }
}
