package ecct.edge

import java.io.File
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class GuardTest {
    private val golden = Golden.wire.child("guard")

    /** The golden model for devices that hold [positions] back. */
    private fun guarded(positions: Int = 2) =
        Golden.modelWith { it.replace("\"guard_positions\":0", "\"guard_positions\":$positions") }

    private class Bench(folder: File, val model: ModelFile) {
        val states = StateFile(File(folder, "device.state"))
        val fake = FakeInterpreter(model.metadata)

        fun open() = EdgeRecommender.open(model, { fake }, states, Golden.user, Golden.profile)

        fun trained(): EdgeRecommender =
            open().apply {
                interact(Golden.history)
                setKnownToCloud(Golden.case.count("older"))
                train(TrainingOptions(epochs = 1))
            }
    }

    private fun bench(model: ModelFile = guarded(), block: Bench.() -> Unit) = inFolder { Bench(it, model).block() }

    /** Ranks held-back items first, or last, once the weights are not the start's. */
    private fun once(trainedIsBetter: Boolean): (Float, IntArray) -> FloatArray =
        { weight, rows ->
            val higher = (weight == 0f) != trainedIsBetter
            FloatArray(rows.size) { if (it == 0 && higher) 2f else if (it == 0) -2f else rows[it] / 100f }
        }

    @Test
    fun positionsAreThoseOfPython() {
        for (case in golden.children("positions")) {
            val found =
                guardPositions(
                    case.count("length"),
                    case.count("older"),
                    case.count("max_positions"),
                    case.count("guard_positions"),
                )
            assertEquals(ints(case.list("held")).toList(), found.toList())
        }
    }

    @Test
    fun candidatesAreThoseOfPython() {
        for (case in golden.children("candidates")) {
            val history = ints(case.list("history"))
            val found = guardCandidates(history, case.count("position"), case.count("items"))
            assertContentEquals(ints(case.list("candidates")), found)
        }
        assertEquals(null, guardCandidates(intArrayOf(1, 2), 1, 2))
    }

    @Test
    fun placesCountTiesAndWhatIsNoNumberAgainstTheItem() {
        assertEquals(1, guardPlace(listOf(0.5f, 0.5f, 0.1f)))
        assertEquals(0, guardPlace(listOf(0.5f, 0.2f, 0.1f)))
        assertEquals(2, guardPlace(listOf(Float.NaN, 0.2f, 0.1f)))
    }

    @Test
    fun heldBackPositionsAreReadAsTheyHappened() {
        val state = DeviceState.decode(Golden.stateBytes, "golden")
        val held = heldBack(state.copy(history = intArrayOf(3, 1, 99, 4, 15, 9, 26)), guarded().metadata)
        assertEquals(listOf(9, 26), held.map { it.candidates[0] })
        assertContentEquals(intArrayOf(0, 0, 3, 1, 4, 15), held[0].history)
        assertContentEquals(intArrayOf(0, 3, 1, 4, 15, 9), held[1].history)
        assertEquals(emptyList(), heldBack(state, Golden.model.metadata))
    }

    @Test
    fun theyAreNotTrainedOn() {
        val state = DeviceState.decode(Golden.stateBytes, "golden")
        val samples = drawSamples(state, guarded().metadata, TrainingOptions(), 1)
        val own = samples.candidates.filterIndexed { row, _ -> samples.labels[row] == 1f }
        assertEquals(setOf(4, 15), own.toSet())
        // Three positions: one is held back, which is at most half of them.
        assertEquals(8, drawSamples(state.copy(olderItems = 3), guarded().metadata, TrainingOptions(), 1).size)
    }

    @Test
    fun aDeviceWhoseTrainingRanksItsNewestLowerServesWithItsStart() =
        bench {
            fake.ranking = once(trainedIsBetter = false)
            val device = trained()
            val weights = device.weights()
            assertTrue(weights[0] > 0f)
            assertTrue(device.servesStart)
            val restored = fake.of("restore").size
            assertEquals(2f, device.score(Golden.candidates)[0].logit)
            // The start, and then the weights of the state again.
            val loaded = fake.of("restore").drop(restored).map { (it.inputs["state"] as FloatArray)[0] }
            assertEquals(listOf(0f, weights[0]), loaded)
            assertContentEquals(weights, device.weights())
            assertContentEquals(FloatArray(model.metadata.weights), device.state.start)
            device.train(TrainingOptions(epochs = 1))
            assertTrue(device.weights()[0] > weights[0])
            // It survives the process, and so does the verdict.
            device.close()
            assertTrue(open().servesStart)
            assertEquals(2f, open().score(Golden.candidates)[0].logit)
        }

    @Test
    fun aDeviceWhoseTrainingRanksThemHigherServesWithIt() =
        bench {
            fake.ranking = once(trainedIsBetter = true)
            val device = trained()
            assertFalse(device.servesStart)
            assertEquals(2f, device.score(Golden.candidates)[0].logit)
            // Judged once for a state.
            val calls = fake.of("score").size
            device.score(Golden.candidates)
            assertEquals(calls + 1, fake.of("score").size)
        }

    @Test
    fun afterATieTrainingIsKeptOnlyIfTheHistoryIsLongEnoughToJudgeBy() {
        for ((wanted, serves) in listOf(2 to true, 1 to false)) {
            bench(guarded(wanted)) {
                fake.ranking = { _, rows -> FloatArray(rows.size) { rows[it] / 100f } }
                val device = open()
                device.interact(Golden.history)
                // Three positions, one of which is held back.
                device.setKnownToCloud(Golden.history.size - 3)
                device.train(TrainingOptions(epochs = 1))
                assertEquals(serves, device.servesStart)
            }
        }
    }

    @Test
    fun newSharedWeightsAreJudgedToo() =
        bench {
            fake.ranking = once(trainedIsBetter = false)
            val device = open()
            device.interact(Golden.history)
            device.setKnownToCloud(Golden.case.count("older"))
            assertFalse(device.servesStart)
            device.replaceSharedWeights(FloatArray(model.metadata.sharedWeights) { 1f })
            assertTrue(device.servesStart)
        }

    @Test
    fun withoutAGuardNothingIsKeptOrJudged() =
        bench(Golden.model) {
            fake.ranking = once(trainedIsBetter = false)
            val device = trained()
            assertFalse(device.servesStart)
            assertEquals(-2f, device.score(Golden.candidates)[0].logit)
            assertEquals(0, device.state.start.size)
        }

    @Test
    fun theStateOfPythonWithAStartIsReadAndWrittenByteForByte() {
        val bytes = Golden.case.child("state").hex("with_start")
        val state = DeviceState.decode(bytes, "golden")
        assertEquals(state.values[3] / 2, state.start[3])
        assertEquals(Golden.model.metadata.weights, state.start.size)
        assertContentEquals(bytes, state.encode())
        assertContentEquals(Golden.stateBytes, state.copy(start = FloatArray(0)).encode())
        val short = state.copy(start = FloatArray(3))
        assertFailsWith<StateFileException> { short.checkFits(Golden.model, Golden.user, "x") }
    }
}
