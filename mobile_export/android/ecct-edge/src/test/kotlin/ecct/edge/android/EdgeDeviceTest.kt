package ecct.edge.android

import ecct.edge.EdgeInterpreter
import ecct.edge.EdgeMetadata
import ecct.edge.EdgeRecommender
import ecct.edge.Manifest
import ecct.edge.ModelFile
import ecct.edge.StateFile
import ecct.edge.TrainingOptions
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.joinAll
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import java.io.File
import java.nio.file.Files
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicInteger
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class EdgeDeviceTest {
    /** Counts steps, and calls that overlap. */
    private class Counting(private val metadata: EdgeMetadata) : EdgeInterpreter {
        val steps = AtomicInteger()
        val threads = HashSet<Thread>()
        var overlapped = false
        var onStep: () -> Unit = {}
        private val inside = AtomicInteger()

        override val signatureKeys: Array<String> get() = metadata.signatures.keys.toTypedArray()

        override fun getSignatureInputs(key: String): Array<String> =
            metadata.signatures.getValue(key).inputs.map { it.name }.toTypedArray()

        override fun getSignatureOutputs(key: String): Array<String> =
            metadata.signatures.getValue(key).outputs.map { it.name }.toTypedArray()

        override fun runSignature(inputs: Map<String, Any>, outputs: Map<String, Any>, signatureKey: String) {
            if (inside.incrementAndGet() > 1) overlapped = true
            threads += Thread.currentThread()
            if (signatureKey == "train") {
                steps.incrementAndGet()
                (outputs.getValue("applied") as FloatArray)[0] = 1f
                onStep()
            }
            (outputs["accepted"] as FloatArray?)?.set(0, 1f)
            inside.decrementAndGet()
        }

        override fun close() = Unit
    }

    private fun resource(name: String) =
        checkNotNull(javaClass.getResourceAsStream("/golden/$name")) { "no $name" }.use { it.readBytes() }

    private fun onDevice(block: suspend (EdgeDevice, Counting) -> Unit) {
        val folder = Files.createTempDirectory("ecct").toFile()
        try {
            val manifest = Manifest.parse(resource("manifest.json").toString(Charsets.UTF_8))
            val model = ModelFile.parse("edge.tflite", resource("edge.tflite"), manifest)
            val interpreter = Counting(model.metadata)
            val recommender = EdgeRecommender.open(model, { interpreter }, StateFile(File(folder, "d.state")), user = 1)
            runBlocking {
                val device = EdgeDevice(recommender, Dispatchers.Default)
                device.interact(List(10) { "film ${it + 1}" })
                block(device, interpreter)
            }
        } finally {
            folder.deleteRecursively()
        }
    }

    @Test
    fun callsRunInTheBackgroundOneAfterAnother() =
        onDevice { device, interpreter ->
            interpreter.threads.clear()
            val jobs = runBlocking { List(4) { launch(Dispatchers.Default) { device.train() } }.also { it.joinAll() } }
            assertTrue(jobs.none(Job::isActive))
            assertFalse(interpreter.overlapped)
            assertFalse(Thread.currentThread() in interpreter.threads)
            assertEquals(4, device.state().round)
        }

    @Test
    fun cancellingEndsTrainingBeforeTheNextStepAndKeepsWhatWasDone() =
        onDevice { device, interpreter ->
            val inStep = CountDownLatch(1)
            val cancelled = CountDownLatch(1)
            interpreter.onStep = {
                inStep.countDown()
                cancelled.await()
            }
            runBlocking {
                val job = launch(Dispatchers.Default) { device.train(TrainingOptions(epochs = 100)) }
                inStep.await()
                job.cancel()
                cancelled.countDown()
                job.cancelAndJoin()
            }
            assertEquals(1, interpreter.steps.get())
            assertEquals(1, device.state().round)
        }
}
