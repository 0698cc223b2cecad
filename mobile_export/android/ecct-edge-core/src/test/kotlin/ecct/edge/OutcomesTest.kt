package ecct.edge

import java.io.File
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** Grades, weights and further targets: what Python keeps of them, draws and asks, byte for byte. */
class OutcomesTest {
    private val golden = Golden.Outcomes
    private val case = golden.case
    private val candidates = case.strings("candidates")

    private class Bench(folder: File, val model: ModelFile = Golden.Outcomes.model) {
        val states = StateFile(File(folder, "device.state"))
        val fake = FakeInterpreter(model.metadata, Golden.Outcomes.case.child("score"))

        fun open(adopt: Boolean = false, previous: FloatArray? = null): EdgeRecommender {
            previous?.copyInto(fake.state)
            return EdgeRecommender.open(model, { fake }, states, Golden.user, adopt = adopt) { Golden.Outcomes.times.last() }
        }
    }

    private fun bench(block: Bench.() -> Unit) = inFolder { Bench(it).block() }

    private fun decoded() = DeviceState.decode(case.hex("state"), "golden")

    @Test
    fun aModelTellsItsTargetsAndTheColumnsThatItReads() {
        val metadata = golden.model.metadata
        assertEquals(listOf("dwell", "like"), metadata.targets)
        assertEquals(listOf("stars", "dwell"), metadata.contextColumns)
        assertEquals(case.list("columns"), columnValues(metadata.outcomes.columns))
        assertEquals(emptyList(), Golden.model.metadata.contextColumns)
        val wrong = "\"values\":{\"1\":7},\"column\":\"stars\""
        for (name in listOf("grade", "weight")) {
            assertFailsWith<ModelFileException>(name) {
                Golden.modelWith { it.replace("\"samples\":{", "\"samples\":{\"$name\":{$wrong},") }
            }
        }
    }

    @Test
    fun theStateIsThatOfPythonByteForByte() =
        bench {
            assertContentEquals(case.hex("state"), decoded().encode())
            val device = open(previous = decoded().values)
            assertEquals(6, device.interact(golden.items, golden.times, golden.context))
            device.setKnownToCloud(case.count("older"))
            assertContentEquals(case.hex("state"), states.file.readBytes())
            val told = JsonObject.parse(device.exportPersonalData(), "personal")
            assertEquals(case.list("personal"), told.children("interactions").map { it.value("context") })
            assertEquals(case.list("waiting"), told.child("labels").list("waiting"))
        }

    @Test
    fun labelsAndWeightsAreThoseOfPython() {
        val draw = Golden.wire.child("draw")
        val samples = drawSamples(decoded(), golden.model.metadata, TrainingOptions(), draw.count("seed").toLong())
        assertContentEquals(ints(draw.list("candidates")), samples.candidates)
        assertContentEquals(floats(case.list("labels")), samples.labels)
        assertContentEquals(floats(case.list("weights")), samples.weights)
        val targets = checkNotNull(samples.targets)
        case.list("target_labels").forEachIndexed { row, expected -> assertContentEquals(floats(expected), targets[row]) }
        val last = samples.batch(12, size = 6, rows = 6)["target_labels"] as Array<*>
        assertContentEquals(targets[12], last[0] as FloatArray)
        assertContentEquals(FloatArray(2), last[5] as FloatArray)
    }

    @Test
    fun anAppAsksWhatOfTheRankedWouldBeLiked() =
        bench {
            val device = open()
            val logits = device.targetLogits(candidates)
            assertEquals(listOf("dwell", "like"), logits.keys.toList())
            val rows = case.child("score").list("target_logits").map(::floats)
            assertContentEquals(rows.map { it[1] }.toFloatArray(), logits.getValue("like"))
            device.interact(golden.items, golden.times, golden.context)
            assertEquals(mapOf("dwell" to 0.5f, "like" to 1.5f), device.train().targetLosses)
            // What came of an interaction never leaves the device.
            val uplink = model.metadata.signature("uplink")
            assertTrue((uplink.inputs + uplink.outputs).none { "target" in it.name })
            val plain = EdgeRecommender.open(Golden.model, { FakeInterpreter(Golden.model.metadata) }, StateFile(File(states.file.path + "2")), 1)
            val error = assertFailsWith<InputException> { plain.targetLogits(candidates) }
            assertTrue("a run with samples.targets" in error.message.orEmpty())
        }

    @Test
    fun whatDoesNotFitIsRefusedAndChangesNothing() =
        bench {
            val device = open()
            val before = states.file.readBytes()
            val short = assertFailsWith<InputException> { device.interact(golden.items, context = mapOf("stars" to listOf("good"))) }
            assertTrue("stars: expected one for each of 7 interactions, got 1" in short.message.orEmpty())
            val other = assertFailsWith<InputException> { device.interact(listOf("film 1"), context = mapOf("place" to listOf("x"))) }
            assertTrue("out of [stars, dwell], got [place]" in other.message.orEmpty())
            assertContentEquals(before, states.file.readBytes())
            // What the app does not say is unknown.
            device.interact(listOf("film 1"), context = mapOf("stars" to listOf("good")))
            assertEquals(listOf(listOf(2, 0)), device.state.context)
            val wrong = decoded().copy(context = List(6) { listOf(3, 0) }).encode()
            assertFailsWith<StateFileException> { DeviceState.decode(wrong, "wrong") }
        }

    @Test
    fun aNewerModelReadsColumnsByTheirWords() {
        val stars = KeptColumn("stars", listOf("bad", "good"))
        val place = KeptColumn("place", listOf("home"))
        val after = listOf(place, KeptColumn("stars", listOf("good")))
        assertEquals(listOf(listOf(0, 0), listOf(0, 1)), listOf(listOf(1), listOf(2)).map { translated(it, listOf(stars), after) })
        val notes = columnNotes(listOf(stars, KeptColumn("dwell", listOf("long"))), after, "x")
        assertEquals(
            listOf(
                "context: stars is unknown where it was one of the values that x does not know",
                "context: dwell was dropped, x does not read it",
                "context: place is new, and unknown for what came before",
            ),
            notes,
        )
    }
}
