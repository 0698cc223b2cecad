package ecct.edge

import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class SamplesTest {
    private val draw = Golden.wire.child("draw")
    private val kept = DeviceState.decode(Golden.stateBytes, "golden")
    private val options = TrainingOptions(negatives = draw.count("negatives"))

    private fun draw(state: DeviceState = kept, options: TrainingOptions = this.options) =
        drawSamples(state, Golden.model.metadata, options, draw.count("seed").toLong())

    @Test
    fun theGeneratorIsSplitMix64() {
        val random = SplitMix64(draw.count("seed").toLong())
        assertEquals(draw.strings("first_numbers"), List(3) { random.next().toULong().toString() })
        assertEquals(setOf(0, 1, 2), List(100) { random.below(3) }.toSet())
    }

    @Test
    fun samplesAreThoseOfTheSameDrawInPython() {
        val samples = draw()
        assertContentEquals(ints(draw.list("candidates")), samples.candidates)
        assertContentEquals(floats(draw.list("labels")), samples.labels)
        assertEquals(draw.list("histories").map { ints(it).toList() }, samples.histories.map { it.toList() })
    }

    @Test
    fun negativesAreItemsThatTheUserNeverTouched() {
        val sampler = NegativeSampler(intArrayOf(1, 3, 3, 5), 5)
        val random = SplitMix64(1)
        assertEquals(setOf(2, 4), List(50) { sampler.row(random, 1).single() }.toSet())
        assertFailsWith<InputException> { NegativeSampler(intArrayOf(1, 2, 3), 3) }
    }

    @Test
    fun aSmallCatalogRepeatsNoNegativeOfAPosition() {
        val random = SplitMix64(1)
        val small = NegativeSampler(intArrayOf(2, 4), 6)
        repeat(50) {
            assertEquals(setOf(1, 3, 5, 6), small.row(random, 4).toSet())
            assertEquals(3, small.row(random, 3).toSet().size)
            // More than are left: each once, then once more.
            val often = small.row(random, 6).groupBy { it }.values.map { it.size }.sorted()
            assertEquals(listOf(1, 1, 2, 2), often)
        }
        assertContentEquals(IntArray(3) { 7 }, NegativeSampler(IntArray(6) { it + 1 }, 7).row(random, 3))
    }

    @Test
    fun onlyNewPositionsThatTheCloudDoesNotKnowAreTrainedOn() {
        fun positives(samples: Samples) =
            samples.candidates.filterIndexed { row, _ -> samples.labels[row] == 1f }.toSet()
        assertEquals(setOf(4, 15, 9, 26), positives(draw()))
        assertEquals(setOf(9, 26), positives(draw(options = options.copy(positions = 2))))
        // The first item has no history to be judged from.
        assertEquals(setOf(1, 4, 15, 9, 26), positives(draw(kept.copy(olderItems = 0))))
        assertEquals(0, draw(kept.copy(olderItems = 6)).size)
        assertEquals(0, draw(kept.copy(history = IntArray(0), olderItems = 0)).size)
    }

    @Test
    fun theFileSaysWhichSamplesAndAnOptionMaySayOtherwise() {
        fun drawn(options: TrainingOptions, model: ModelFile = Golden.model) =
            drawSamples(kept, model.metadata, options, 1).size
        // Four positions, as the run drew them: with three negatives each.
        assertEquals(16, drawn(TrainingOptions()))
        assertEquals(4 * 2, drawn(TrainingOptions(negatives = 1)))
        assertEquals(2 * 4, drawn(TrainingOptions(positions = 2)))
        val told = "\"samples\":{\"guard_positions\":0,\"max_positions\":16,\"negatives\":3},"
        val other = Golden.modelWith { it.replace(told, "\"samples\":{\"max_positions\":1,\"negatives\":2},") }
        assertEquals(3, drawn(TrainingOptions(), other))
        // Of before files told it.
        assertEquals(4 * 10, drawn(TrainingOptions(), Golden.modelWith { it.replace(told, "") }))
    }

    @Test
    fun positionsStayTogetherWhereTheLossReadsThem() {
        val model = Golden.modelWith { it.replace("\"group_size\":1", "\"group_size\":4") }
        val samples = drawSamples(kept, model.metadata, TrainingOptions(), 1)
        assertEquals(List(4) { listOf(1f, 0f, 0f, 0f) }.flatten(), samples.labels.toList())
        val own = (0 until 16 step 4).map { samples.candidates[it] }
        assertEquals(setOf(4, 15, 9, 26), own.toSet())
        for (start in 0 until 16 step 4) {
            assertEquals(1, samples.histories.slice(start until start + 4).map { it.toList() }.distinct().size)
        }
        val error =
            assertFailsWith<InputException> { drawSamples(kept, model.metadata, TrainingOptions(negatives = 2), 1) }
        assertTrue(error.message.orEmpty().contains("expected 3 negatives"))
    }

    @Test
    fun batchesArePaddedAndMasked() {
        val samples = draw()
        assertEquals(16, samples.size)
        val last = samples.batch(12, size = 6, rows = 6)
        assertContentEquals(floatArrayOf(1f, 1f, 1f, 1f, 0f, 0f), last["mask"] as FloatArray)
        assertContentEquals(samples.candidates.copyOfRange(12, 16) + intArrayOf(0, 0), last["candidates"] as IntArray)
        val histories = last["history"] as Array<*>
        assertEquals(6, histories.size)
        assertContentEquals(IntArray(6), histories[5] as IntArray)
    }

    @Test
    fun olderPositionsWeighLessWhereTheFileSaysSo() {
        assertEquals(setOf(1f), draw().weights.toSet())
        val told = "\"samples\":{\"guard_positions\":0,"
        val model = Golden.modelWith { it.replace(told, "$told\"half_life\":2,") }
        val samples = drawSamples(kept, model.metadata, options, draw.count("seed").toLong())
        val expected = mapOf(26 to 1f, 9 to 2f / 3f, 15 to 0.5f, 4 to 0.4f)
        val own = samples.candidates.indices.filter { samples.labels[it] == 1f }
        assertEquals(expected, own.associate { samples.candidates[it] to samples.weights[it] })
        for (weight in expected.values) assertEquals(4, samples.weights.count { it == weight })
        val last = samples.batch(12, size = 6, rows = 6)
        val mask = samples.weights.copyOfRange(12, 16) + floatArrayOf(0f, 0f)
        assertContentEquals(mask, last["mask"] as FloatArray)
        // The same draw otherwise.
        assertContentEquals(draw().candidates, samples.candidates)
    }

    @Test
    fun itemsWithoutARowAreNotTrainedOn() {
        val odd = kept.copy(history = intArrayOf(3, 99, 1, 4, 0, 15, 9, 26), olderItems = 3)
        assertContentEquals(draw().candidates, draw(odd).candidates)
        assertEquals(draw().histories.map { it.toList() }, draw(odd).histories.map { it.toList() })
    }

    @Test
    fun historiesArePaddedAtTheFront() {
        assertContentEquals(intArrayOf(0, 0, 7, 8), padHistory(intArrayOf(7, 8), 4))
        assertContentEquals(intArrayOf(8, 9), padHistory(intArrayOf(7, 8, 9), 2))
        assertContentEquals(intArrayOf(0, 0), padHistory(IntArray(0), 2))
    }
}
