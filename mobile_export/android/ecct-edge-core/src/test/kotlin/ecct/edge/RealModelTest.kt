package ecct.edge

import org.junit.Assume
import java.io.File
import kotlin.math.abs
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/**
 * The golden model in a real interpreter: the calls of the library are ones that it takes, and
 * training through them is training in Python.
 *
 * Runs where the property `ecct.interpreter` has the command of [PythonInterpreter].
 */
class RealModelTest {
    private fun open(folder: File, command: List<String>): EdgeRecommender =
        EdgeRecommender.open(
            Golden.model,
            { PythonInterpreter(command, it) },
            StateFile(File(folder, "device.state")),
            Golden.user,
            Golden.profile,
        )

    private fun EdgeRecommender.prepared(): EdgeRecommender =
        apply {
            interact(Golden.history)
            setKnownToCloud(Golden.case.count("older"))
            receive(Downlink.decode(Golden.downlink, model.metadata.exchange))
        }

    @Test
    fun aModelWithAClockAnswersAndTrainsAsInPython() {
        val command = System.getProperty("ecct.interpreter").orEmpty().split(" ")
        Assume.assumeTrue("the property ecct.interpreter names no interpreter", command.size == 3)
        inFolder { folder ->
            val golden = Golden.Clock.case
            val now = Golden.Clock.now
            val states = StateFile(File(folder, "device.state"))
            val model = Golden.Clock.model
            val make = EdgeInterpreterFactory { PythonInterpreter(command, it) }
            EdgeRecommender.open(model, make, states, Golden.user, Golden.profile) { now }.use { device ->
                device.interact(Golden.history, Golden.Clock.times)
                device.setKnownToCloud(Golden.case.count("older"))
                device.receive(Downlink.decode(Golden.downlink, model.metadata.exchange))
                val scores = device.score(Golden.candidates).map { it.logit }.toFloatArray()
                assertClose(floats(golden.child("score").list("logit")), scores, 1e-5f)
                // Answers are computed with a silent clock, in a fixed order of sums.
                val expected = encodeUplink(
                    Golden.user,
                    Outputs(
                        model.metadata.signature("uplink").outputs.associate {
                            it.name to typed(it, golden.child("uplink").list(it.name))
                        },
                    ),
                    model.metadata.exchange,
                )
                assertContentEquals(expected, device.uplink())
                val seed = Golden.wire.child("draw").count("seed").toLong()
                device.train(TrainingOptions(epochs = 2, negatives = 3, seed = seed))
                assertClose(floats(golden.child("trained").list("weights")), device.weights(), 1e-6f)
            }
        }
    }

    @Test
    fun aModelWithFurtherTargetsAnswersAndTrainsAsInPython() {
        val command = System.getProperty("ecct.interpreter").orEmpty().split(" ")
        Assume.assumeTrue("the property ecct.interpreter names no interpreter", command.size == 3)
        inFolder { folder ->
            val golden = Golden.Outcomes
            val make = EdgeInterpreterFactory { PythonInterpreter(command, it) }
            val states = StateFile(File(folder, "device.state"))
            EdgeRecommender.open(golden.model, make, states, Golden.user) { golden.times.last() }.use { device ->
                device.interact(golden.items, golden.times, golden.context)
                device.setKnownToCloud(golden.case.count("older"))
                assertContentEquals(golden.case.hex("state"), states.file.readBytes())
                val score = golden.case.child("score")
                val candidates = golden.case.strings("candidates")
                assertClose(
                    floats(score.list("logit")),
                    device.score(candidates).map { it.logit }.toFloatArray(),
                    1e-5f,
                )
                val logits = device.targetLogits(candidates)
                val expected = score.list("target_logits").map(::floats)
                golden.model.metadata.targets.forEachIndexed { place, name ->
                    assertClose(expected.map { it[place] }.toFloatArray(), logits.getValue(name), 1e-5f)
                }
                val seed = Golden.wire.child("draw").count("seed").toLong()
                val report = device.train(TrainingOptions(epochs = 2, seed = seed))
                val trained = golden.case.child("trained")
                assertClose(floats(trained.list("losses")), floatArrayOf(report.firstLoss, report.lastLoss), 1e-5f)
                val losses = golden.model.metadata.targets.map(report.targetLosses::getValue).toFloatArray()
                assertClose(floats(trained.list("target_losses").last()), losses, 1e-5f)
                assertClose(floats(trained.list("weights")), device.weights(), 1e-6f)
            }
        }
    }

    private fun assertClose(expected: FloatArray, received: FloatArray, tolerance: Float) {
        assertEquals(expected.size, received.size)
        val largest = expected.indices.maxOf { abs(expected[it] - received[it]) }
        assertTrue(largest <= tolerance, "differs by $largest, at most $tolerance is allowed")
    }

    @Test
    fun theDeviceAnswersAndTrainsAsInPython() {
        val command = System.getProperty("ecct.interpreter").orEmpty().split(" ")
        Assume.assumeTrue("the property ecct.interpreter names no interpreter", command.size == 3)
        inFolder { folder ->
            val golden = Golden.case
            val trained = golden.child("trained")
            val device = open(folder, command).prepared()
            val scores = device.score(Golden.candidates).map { it.logit }.toFloatArray()
            assertClose(floats(golden.child("score").list("logit")), scores, 1e-5f)
            // Added in a fixed order, whatever the runtime and the processor.
            assertContentEquals(golden.child("uplink").hex("bytes"), device.uplink())
            val seed = Golden.wire.child("draw").count("seed").toLong()
            val options = TrainingOptions(epochs = 2, negatives = 3, seed = seed)
            val report = device.train(options)
            assertEquals(6 to 0, report.applied to report.refused)
            assertClose(floats(trained.list("losses")), floatArrayOf(report.firstLoss, report.lastLoss), 1e-5f)
            assertClose(floats(trained.list("weights")), device.weights(), 1e-6f)
            val after = device.score(Golden.candidates)
            device.close()
            open(folder, command).use { again ->
                assertEquals(after, again.score(Golden.candidates))
                assertEquals(1, again.state.round)
            }
        }
    }

    /** Its row counts for nothing, as in Python: the step is that of the other rows alone. */
    @Test
    fun aLabelThatIsNoNumberIsNoNegative() {
        val command = System.getProperty("ecct.interpreter").orEmpty().split(" ")
        Assume.assumeTrue("the property ecct.interpreter names no interpreter", command.size == 3)
        inFolder { folder ->
            val state = open(folder, command).use { it.prepared().state }
            val model = Golden.model
            SignatureRunner(PythonInterpreter(command, model.buffer()), model.metadata).use { runner ->
                val loaded = LoadedWeights(runner)
                val samples = drawSamples(state, model.metadata, TrainingOptions(negatives = 3), seed = 7)
                val rates = listOf("learning_rate", "private_learning_rate").associateWith { floatArrayOf(0.5f) }
                val given = samples.batch(0, ROWS, ROWS) + Serving(model, runner, loaded).userInputs(state) + rates
                fun step(name: String, change: (FloatArray) -> Unit): List<Float> {
                    loaded.restore(state.values)
                    runner.read("reset_optimizer")
                    val changed = (given.getValue(name) as FloatArray).clone().also(change)
                    val outputs = runner.run("train", given + mapOf(name to changed), ROWS)
                    return runner.read("get_weights").floats("weights").toList() + outputs.single("applied")
                }
                val masked = step("mask") { it[2] = 0f }
                val plain = step("mask") {}
                for (label in listOf(Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY)) {
                    assertEquals(masked, step("labels") { it[2] = label }, "$label")
                }
                assertTrue(masked != plain && plain.all { it.isFinite() })
                assertEquals(0f, step("labels") { it.fill(Float.NaN) }.last())
            }
        }
    }

    private companion object {
        const val ROWS = 6
    }
}
